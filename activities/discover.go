package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
)

// readCheckpoint reads a checkpoint of a kind; false if there is none.
func readCheckpoint(c *tables.Checkpoint, kind string, body any) bool {
	return c != nil && c.Kind == kind && json.Unmarshal(c.Body, body) == nil
}

// mark is the checkpoint of a table that reads another: the snapshot up to which it has. The manifest list is named too,
// since some catalogs forget old snapshots, and ids with them.
type mark struct {
	Table        string `json:"table"`
	UUID         string `json:"uuid"`
	Snapshot     int64  `json:"snapshot"`
	ManifestList string `json:"manifest_list,omitempty"`
	Sequence     int64  `json:"sequence,omitempty"`   // of the snapshot, for a table that reads what is added
	Definition   string `json:"definition,omitempty"` // of a table that reads the whole
}

func (m mark) point() tables.ReadPoint {
	return tables.ReadPoint{Snapshot: m.Snapshot, ManifestList: m.ManifestList, Sequence: m.Sequence}
}

func markOf(t *tables.Table) mark {
	m := mark{Table: t.Name(), UUID: t.Iceberg().Metadata().TableUUID().String()}
	if s := t.Iceberg().CurrentSnapshot(); s != nil {
		m.Snapshot, m.ManifestList = s.SnapshotID, s.ManifestList
	}
	return m
}

// since is what the table that is read was when it was last, if that is known, and up to where its rows are no news. another says that it
// was another table of that name.
func (j *job) since(now mark) (before mark, since tables.ReadPoint, another bool) {
	known := readCheckpoint(j.Base, kindTable, &before)
	if known && (before.Table != now.Table || before.UUID != now.UUID) {
		return mark{}, since, true
	}
	if !known {
		return mark{}, since, false
	}
	if j.Table.From.Read != "full" {
		since = before.point()
	}
	return before, since, false
}

// newRows finds what another table has that this one has not read.
func (a *Activities) newRows(ctx context.Context, j *job) (*found, error) {
	from := j.Table.From
	source, err := a.lake.Table(ctx, from.Table)
	if err != nil {
		return nil, err
	}
	now := markOf(source)
	out := &found{snapshots: map[string]int64{from.Table: now.Snapshot}}
	before, since, another := j.since(now)
	known := before != mark{}
	if another {
		out.warnings = append(out.warnings, fmt.Sprintf("%s is not the table that was read before: it is read from its beginning", from.Table))
	}
	if from.Read == "full" {
		if now.Definition, err = j.Table.Definition(); err != nil {
			return nil, err
		}
		out.unchanged = known && sameRows(source, before.Snapshot) && before.Definition == now.Definition
		out.moved = out.unchanged && before.Snapshot != now.Snapshot
	} else if s := source.Iceberg().CurrentSnapshot(); s != nil {
		now.Sequence = s.SequenceNumber
	}
	if out.next, err = checkpointOf(kindTable, now); err != nil {
		return nil, err
	}
	if out.unchanged {
		out.reason = fmt.Sprintf("%s has the rows that it had at snapshot %d", from.Table, before.Snapshot)
		return out, nil
	}
	added, err := source.AddedAfter(ctx, since)
	if err != nil {
		return nil, rewritten(err, from.Table)
	}
	out.files, out.bytes = len(added.Files), added.Bytes
	switch {
	case from.Read == "full":
		out.reason = fmt.Sprintf("all %d data files of %s as of snapshot %d", out.files, from.Table, now.Snapshot)
	case out.files == 0:
		out.unchanged, out.moved = true, known && now.Snapshot != before.Snapshot
		out.reason = fmt.Sprintf("nothing was added to %s", from.Table)
	case since.Snapshot == 0:
		out.reason = fmt.Sprintf("%d data files of %s, from its beginning to snapshot %d", out.files, from.Table, now.Snapshot)
	default:
		out.reason = fmt.Sprintf("%d data files were added to %s since snapshot %d", out.files, from.Table, since.Snapshot)
	}
	if out.groups, err = a.groupTasks(source, added.Files); err != nil {
		return nil, err
	}
	return out, nil
}

// rewritten says what can be done when appends alone do not tell what is new.
func rewritten(err error, table string) error {
	switch {
	case errors.Is(err, tables.ErrRewritten):
		return fmt.Errorf("%w: `read: appends` takes what is added to a table; write `from: {table: %s, read: full}` to take all of it", err, table)
	case errors.Is(err, tables.ErrExpired):
		return fmt.Errorf("%w: what was added since is no longer known; write `from: {table: %s, read: full}` to take all of it", err, table)
	}
	return err
}

// groupTasks puts the files of a scan together by number and size, in their order.
func (a *Activities) groupTasks(t *tables.Table, tasks []table.FileScanTask) ([]group, error) {
	var groups []group
	var size int64
	for _, task := range tasks {
		encoded, err := encodeTask(t, task)
		if err != nil {
			return nil, err
		}
		last := len(groups) - 1
		bytes := task.File.FileSizeBytes()
		if last < 0 || len(groups[last].Tasks) >= a.cfg.GroupFiles || size > 0 && size+bytes > a.cfg.GroupBytes {
			groups = append(groups, group{})
			last, size = last+1, 0
		}
		groups[last].Tasks = append(groups[last].Tasks, encoded)
		size += bytes
	}
	return groups, nil
}

// marks is the checkpoint of a query: the snapshots that it read, and what it was.
type marks struct {
	Tables     []mark `json:"tables"` // in the order of their names
	Definition string `json:"definition"`
}

// newSnapshots pins the tables that a query reads and finds whether any of them has moved.
func (a *Activities) newSnapshots(ctx context.Context, j *job) (*found, error) {
	out := &found{snapshots: make(map[string]int64), groups: make([]group, 1)}
	var now, before marks
	known := readCheckpoint(j.Base, kindTables, &before)
	kept := before.byTable()
	var moved []string
	for _, name := range j.Table.SQL.Reads {
		t, err := a.lake.Table(ctx, name)
		if err != nil {
			return nil, err
		}
		m := markOf(t)
		now.Tables = append(now.Tables, m)
		out.snapshots[name] = m.Snapshot
		switch was := kept[name]; {
		case was == m:
		case was.UUID == m.UUID && sameRows(t, was.Snapshot):
			out.moved = true
		default:
			moved = append(moved, name)
		}
	}
	var err error
	if now.Definition, err = j.Table.Definition(); err != nil {
		return nil, err
	}
	if out.next, err = checkpointOf(kindTables, now); err != nil {
		return nil, err
	}
	switch {
	case !known:
		out.reason = "never built"
	case before.Definition != now.Definition:
		out.reason = "its definition has changed"
	case len(moved) == 0:
		out.unchanged, out.reason = true, "none of the tables that it reads has changed"
	default:
		out.reason = fmt.Sprintf("%s changed", joined(moved))
	}
	return out, nil
}

func (m marks) byTable() map[string]mark {
	out := make(map[string]mark, len(m.Tables))
	for _, t := range m.Tables {
		out[t.Table] = t
	}
	return out
}

// sameRows tells whether a table has the rows that it had at a snapshot: nothing but maintenance came since that changes none.
func sameRows(t *tables.Table, snapshot int64) bool {
	s := t.Iceberg().CurrentSnapshot()
	if s == nil {
		return snapshot == 0
	}
	for s != nil && s.SnapshotID != snapshot && s.ParentSnapshotID != nil && maintain.KeepsRows(s.Summary) {
		s = t.Iceberg().SnapshotByID(*s.ParentSnapshotID)
	}
	return s != nil && s.SnapshotID == snapshot
}

func joined(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s, %s and %d more", names[0], names[1], len(names)-2)
	}
	out := ""
	for i, n := range names {
		switch {
		case i == 0:
		case i == len(names)-1:
			out += " and "
		default:
			out += ", "
		}
		out += n
	}
	return out
}
