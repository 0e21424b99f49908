// Package schedules keeps Temporal Schedules equal to what pipeline files declare.
package schedules

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/workflows"
)

// prefix begins the ids of the schedules that belong to files; others are never touched.
const prefix = "varve-"

// memoDeclared is the memo of the schedule's action, and so of every run that it starts, that holds what the schedule was
// made from. A difference can be told by it without comparing what the server made of a cron string.
const memoDeclared = "varve.declared"

// The actions of a Change.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Change is one step from the schedules that are to those declared.
type Change struct {
	Action string   `json:"action"`
	ID     string   `json:"id"`
	Lines  []string `json:"lines,omitempty"` // "- cron: ..." was, "+ cron: ..." will be

	options client.ScheduleOptions
}

// declaration is what the memo holds: the schedule as the file says it, a line a setting.
type declaration struct {
	Pipeline string            `json:"pipeline"`
	Table    string            `json:"table,omitempty"` // of the maintenance of a table
	Settings map[string]string `json:"settings"`
	Digest   string            `json:"digest"`
	// Kept is the digest of what the server made of it, which turns a cron line into calendars of its own. A schedule that
	// has another one now was edited elsewhere, such as in the UI; one without was left half made.
	Kept string `json:"kept,omitempty"`

	edited bool
}

// Options is the schedule that a pipeline declares. It starts RunPipeline with the same input that a person would type.
// The key is the id of that which encrypts the input, "" for none: another one makes another schedule, so that applying
// it leaves nothing behind that only an old key reads.
func Options(p *spec.Pipeline, queue, key string) client.ScheduleOptions {
	d := declare(p, queue, key)
	note := p.Description
	if key != "" { // a note is not encrypted
		note = ""
	}
	return client.ScheduleOptions{
		ID:   prefix + p.Name.Value,
		Spec: scheduleSpec(p.Schedule),
		Action: &client.ScheduleWorkflowAction{
			ID:        p.Name.Value + "-scheduled", // Temporal adds the time
			Workflow:  workflows.RunPipelineName,
			Args:      []any{workflows.RunInput{Pipeline: p.Name.Value}},
			TaskQueue: queue,
			Memo:      map[string]any{memoDeclared: d},
		},
		Overlap:       overlaps[p.Schedule.Overlap],
		CatchupWindow: p.Schedule.CatchupWindow,
		Paused:        p.Schedule.Paused,
		Note:          note,
	}
}

var overlaps = map[string]enums.ScheduleOverlapPolicy{
	"":                enums.SCHEDULE_OVERLAP_POLICY_SKIP,
	"skip":            enums.SCHEDULE_OVERLAP_POLICY_SKIP,
	"buffer_one":      enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE,
	"buffer_all":      enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL,
	"cancel_other":    enums.SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER,
	"terminate_other": enums.SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER,
	"allow_all":       enums.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
}

func scheduleSpec(s *spec.Schedule) client.ScheduleSpec {
	out := client.ScheduleSpec{TimeZoneName: s.Timezone, Jitter: s.Jitter}
	for _, c := range s.Cron {
		out.CronExpressions = append(out.CronExpressions, c.Value)
	}
	if s.Every > 0 {
		out.Intervals = []client.ScheduleIntervalSpec{{Every: s.Every, Offset: s.Offset}}
	}
	for _, c := range s.Calendar {
		out.CronExpressions = append(out.CronExpressions, calendarCron(c))
	}
	return out
}

// calendarCron writes a calendar as Temporal's seven-field cron string (seconds first, year last), which takes the same
// strings field by field.
func calendarCron(c spec.Calendar) string {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return strings.ReplaceAll(s, " ", "")
	}
	cron := strings.Join([]string{or(c.Second, "0"), or(c.Minute, "0"), or(c.Hour, "0"), or(c.DayOfMonth, "*"), or(c.Month, "*"), or(c.DayOfWeek, "*"), or(c.Year, "*")}, " ")
	if c.Comment != "" {
		cron += " # " + c.Comment
	}
	return cron
}

func declare(p *spec.Pipeline, queue, key string) declaration {
	s := p.Schedule
	settings := map[string]string{
		"overlap": s.Overlap, "timezone": s.Timezone, "paused": fmt.Sprint(s.Paused), "task_queue": queue, "description": p.Description,
		"encryption": key,
	}
	for i, c := range s.Cron {
		settings[fmt.Sprintf("cron[%d]", i)] = c.Value
	}
	for i, c := range s.Calendar {
		settings[fmt.Sprintf("calendar[%d]", i)] = calendarCron(c)
	}
	for name, d := range map[string]time.Duration{"every": s.Every, "offset": s.Offset, "catchup_window": s.CatchupWindow, "jitter": s.Jitter} {
		if d > 0 {
			settings[name] = d.String()
		}
	}
	return declared(declaration{Pipeline: p.Name.Value, Settings: settings})
}

// declared drops settings that say nothing, and digests the others.
func declared(d declaration) declaration {
	for k, v := range d.Settings {
		if v == "" {
			delete(d.Settings, k)
		}
	}
	body, _ := json.Marshal(d.Settings) // a map of strings always marshals, with its keys sorted
	sum := sha256.Sum256(body)
	d.Digest = hex.EncodeToString(sum[:8])
	return d
}

// Server is where the schedules are kept, and how it is told what they say.
type Server struct {
	client.ScheduleClient
	Converter converter.DataConverter // the one that the client was made with
}

// Diff lists the changes that make the schedules of files those wanted, by id.
func (s Server) Diff(ctx context.Context, wanted map[string]client.ScheduleOptions) ([]Change, error) {
	have, err := s.existing(ctx)
	if err != nil {
		return nil, err
	}
	var out []Change
	for id, o := range wanted {
		will := o.Action.(*client.ScheduleWorkflowAction).Memo[memoDeclared].(declaration)
		was, ok := have[id]
		switch {
		case !ok:
			out = append(out, Change{Action: Create, ID: id, Lines: difference(nil, will.Settings), options: o})
		case was.Digest != will.Digest:
			out = append(out, Change{Action: Update, ID: id, Lines: difference(was.Settings, will.Settings), options: o})
		case was.edited:
			out = append(out, Change{Action: Update, ID: id, Lines: []string{"was edited outside of the file; the file's settings come back"}, options: o})
		}
	}
	for id, was := range have {
		if _, ok := wanted[id]; !ok {
			out = append(out, Change{Action: Delete, ID: id, Lines: difference(was.Settings, nil)})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out, nil
}

// existing are the schedules that were made from files, which their memo tells.
func (s Server) existing(ctx context.Context) (map[string]declaration, error) {
	list, err := s.List(ctx, client.ScheduleListOptions{PageSize: 1000})
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	out := map[string]declaration{}
	for list.HasNext() {
		entry, err := list.Next()
		if err != nil {
			return nil, fmt.Errorf("list schedules: %w", err)
		}
		if !strings.HasPrefix(entry.ID, prefix) {
			continue
		}
		// The list is eventually consistent and holds no actions; the schedule itself is and does.
		d, err := s.GetHandle(ctx, entry.ID).Describe(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe schedule %s: %w", entry.ID, err)
		}
		was, ok, err := s.declaredBy(d.Schedule.Action)
		if err != nil {
			return nil, fmt.Errorf("schedule %s: memo %s: %w", entry.ID, memoDeclared, err)
		}
		was.edited = was.Kept != kept(&d.Schedule)
		if ok { // else it was made by hand under a name like ours
			out[entry.ID] = was
		}
	}
	return out, nil
}

func (s Server) declaredBy(a client.ScheduleAction) (declaration, bool, error) {
	action, ok := a.(*client.ScheduleWorkflowAction)
	if !ok {
		return declaration{}, false, nil
	}
	payload, ok := action.Memo[memoDeclared].(*commonpb.Payload)
	if !ok {
		return declaration{}, false, nil
	}
	var d declaration
	err := s.Converter.FromPayload(payload, &d)
	return d, err == nil, err
}

// difference lists the settings that differ, by name: what each was, then what it will be.
func difference(was, will map[string]string) []string {
	var out []string
	all := maps.Clone(was)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, will)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		old, had := was[k]
		now, has := will[k]
		if had && (!has || old != now) {
			out = append(out, fmt.Sprintf("%s: - %s", k, old))
		}
		if has && (!had || old != now) {
			out = append(out, fmt.Sprintf("%s: + %s", k, now))
		}
	}
	return out
}

// Apply makes the changes. It goes on after an error and returns all of them.
func (s Server) Apply(ctx context.Context, changes []Change) error {
	var all []error
	for _, ch := range changes {
		if err := ch.apply(ctx, s); err != nil {
			all = append(all, fmt.Errorf("%s schedule %s: %w", ch.Action, ch.ID, err))
		}
	}
	return errors.Join(all...)
}

func (ch Change) apply(ctx context.Context, s Server) error {
	switch ch.Action {
	case Create:
		if _, err := s.Create(ctx, ch.options); err != nil {
			return err
		}
		return ch.remember(ctx, s)
	case Update:
		if err := s.GetHandle(ctx, ch.ID).Update(ctx, client.ScheduleUpdateOptions{DoUpdate: ch.update(s)}); err != nil {
			return err
		}
		return ch.remember(ctx, s)
	case Delete:
		return s.GetHandle(ctx, ch.ID).Delete(ctx)
	}
	return fmt.Errorf("unknown action %q", ch.Action)
}

// update puts the declared settings into the schedule as it is. Whether it is paused is kept as a person left it, unless
// the file changed its mind about it.
func (ch Change) update(on Server) func(client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
	return func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		s := in.Description.Schedule
		was, _, err := on.declaredBy(s.Action)
		if err != nil {
			return nil, err
		}
		o := ch.options
		s.Action, s.Spec = o.Action, &o.Spec
		if s.Policy == nil {
			s.Policy = &client.SchedulePolicies{}
		}
		s.Policy.Overlap, s.Policy.CatchupWindow = o.Overlap, o.CatchupWindow
		if s.State == nil {
			s.State = &client.ScheduleState{}
		}
		s.State.Note = o.Note
		if was.Settings["paused"] != fmt.Sprint(o.Paused) {
			s.State.Paused = o.Paused
		}
		return &client.ScheduleUpdate{Schedule: &s}, nil
	}
}

// remember puts into the memo what the server made of the schedule.
func (ch Change) remember(ctx context.Context, on Server) error {
	return on.GetHandle(ctx, ch.ID).Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		s := in.Description.Schedule
		d, ok, err := on.declaredBy(s.Action)
		if err != nil || !ok {
			return nil, err
		}
		d.Kept = kept(&s)
		s.Action.(*client.ScheduleWorkflowAction).Memo[memoDeclared] = d
		return &client.ScheduleUpdate{Schedule: &s}, nil
	}})
}

// kept is a digest of all that a person could edit but for pausing, which is theirs.
func kept(s *client.Schedule) string {
	var action any
	if a, ok := s.Action.(*client.ScheduleWorkflowAction); ok {
		action = []any{a.Workflow, a.Args, a.TaskQueue, a.ID}
	}
	body, err := json.Marshal([]any{s.Spec, s.Policy, action})
	if err != nil {
		return "" // never equal to what was remembered
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}
