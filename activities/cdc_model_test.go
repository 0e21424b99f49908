package activities

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
)

// event is a change as the model sees it. Its sequence is a followed by b, where there are two columns.
type event struct {
	key     [2]string
	a, b    int
	deleted bool
	value   string // "" is null
	copies  int    // how often it may still be delivered again
}

func (e event) sequence() [2]int { return [2]int{e.a, e.b} }

// changeModel is what a table of change data is after any number of events, in whatever order and however divided: of each
// key the events by their sequences, of those with one sequence the one that came first or last.
type changeModel struct {
	last   bool
	events map[[2]string]map[[2]int]event
}

func (m *changeModel) arrive(e event) {
	of := m.events[e.key]
	if of == nil {
		of = map[[2]int]event{}
		m.events[e.key] = of
	}
	if _, there := of[e.sequence()]; !there || m.last {
		of[e.sequence()] = e
	}
}

func (m *changeModel) rows(history, two bool) []string {
	var out []string
	for key, of := range m.events {
		timeline := make([]event, 0, len(of))
		for _, e := range of {
			timeline = append(timeline, e)
		}
		slices.SortFunc(timeline, func(x, y event) int { return cmp.Or(cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b)) })
		for i, e := range timeline {
			if e.deleted || !history && i < len(timeline)-1 {
				continue
			}
			row := []string{key[0], key[1], text(e.value), strconv.Itoa(e.a)}
			if two {
				row = append(row, strconv.Itoa(e.b))
			}
			if history {
				until, current := "(null)", "true"
				if i < len(timeline)-1 {
					until, current = strconv.Itoa(timeline[i+1].a), "false"
				}
				row = append(row, until, current)
			}
			out = append(out, strings.Join(row, " "))
		}
	}
	slices.Sort(out)
	return out
}

func text(value string) string {
	if value == "" {
		return "(null)"
	}
	return value
}

// scenario is a random table of change data and the deliveries that it gets.
type scenario struct {
	random              *rand.Rand
	history, two        bool
	ties, settings      string
	keys, sequences     int
	model               *changeModel
	used                map[string]bool // key and sequence
	sent                []event
	deliveries, perFile int
}

func newScenario(seed uint64) *scenario {
	r := rand.New(rand.NewPCG(seed, 5))
	s := &scenario{
		random: r, history: r.IntN(2) == 0, two: r.IntN(3) == 0, ties: []string{"fail", "first", "last"}[r.IntN(3)],
		keys: 1 + r.IntN(6), sequences: 5 + r.IntN(40), used: map[string]bool{}, deliveries: 2 + r.IntN(4), perFile: 1 + r.IntN(12),
	}
	s.model = &changeModel{last: s.ties == "last", events: map[[2]string]map[[2]int]event{}}
	columns, except := "lsn", "op, lsn"
	if s.two {
		columns = "lsn, part"
		if r.IntN(2) == 0 {
			except += ", part"
		}
	}
	history := "scd1"
	if s.history {
		history = "scd2"
	}
	strategy := []string{"copy-on-write", "merge-on-read"}[r.IntN(2)]
	s.settings = fmt.Sprintf(`
    write:
      cdc: {keys: [id, region], sequence_by: [%s], ties: %s, delete_when: op == "d", history: %s, strategy: %s, except: [%s]}
    format_version: %d`, columns, s.ties, history, strategy, except, 2+r.IntN(2))
	if r.IntN(2) == 0 {
		s.settings += "\n    partition_by: [\"bucket(3, id)\"]"
	}
	return s
}

// next makes an event, or delivers one again.
func (s *scenario) next() event {
	r := s.random
	if len(s.sent) > 0 && r.IntN(4) == 0 {
		if again := &s.sent[r.IntN(len(s.sent))]; again.copies > 0 {
			again.copies--
			return *again
		}
	}
	for {
		e := event{
			key: [2]string{strconv.Itoa(r.IntN(s.keys)), []string{"eu", "us"}[r.IntN(2)]},
			a:   r.IntN(s.sequences), deleted: r.IntN(4) == 0, copies: 3,
		}
		if s.two {
			e.b = r.IntN(3)
		}
		if !e.deleted && r.IntN(8) > 0 {
			e.value = fmt.Sprintf("v%d", r.IntN(5))
		}
		place := fmt.Sprint(e.key, e.sequence())
		if s.used[place] && (s.ties == "fail" || r.IntN(3) > 0) {
			if s.sequences++; s.sequences > 10_000 {
				panic("no sequence is free")
			}
			continue
		}
		if s.ties == "last" { // which of two comes again decides: that is another matter
			e.copies = 0
		}
		s.used[place] = true
		s.sent = append(s.sent, e)
		return e
	}
}

func (s *scenario) file() string {
	var b strings.Builder
	b.WriteString("id,region,value,op,lsn,part\n")
	for range 1 + s.random.IntN(s.perFile) {
		e := s.next()
		s.model.arrive(e)
		op := "u"
		if e.deleted {
			op = "d"
		}
		fmt.Fprintf(&b, "%s,%s,%s,%s,%d,%d\n", e.key[0], e.key[1], e.value, op, e.a, e.b)
	}
	return b.String()
}

func (s *scenario) columns() []string {
	out := []string{"id", "region", "value"}
	sequence := []string{"_sequence_lsn", "_sequence_part"}
	if !strings.Contains(s.settings, "op, lsn, part") {
		sequence[1] = "part"
	}
	if s.history {
		sequence[0] = "valid_from"
	}
	if !s.two {
		sequence = sequence[:1]
	}
	out = append(out, sequence...)
	if s.history {
		out = append(out, "valid_to", "is_current")
	}
	return out
}

// Whatever the order in which events come, and however runs divide them, the table is what the model says of all that
// have come so far. VARVE_SEED replays one scenario, VARVE_CDC_SCENARIOS says how many there are.
func TestChangesAgreeWithModel(t *testing.T) {
	first, count := uint64(1), uint64(12)
	if n, err := strconv.ParseUint(os.Getenv("VARVE_CDC_SCENARIOS"), 10, 32); err == nil {
		first, count = uint64(time.Now().UnixNano()), n
	}
	if seed, err := strconv.ParseUint(os.Getenv("VARVE_SEED"), 10, 64); err == nil {
		first, count = seed, 1
	}
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			l, s := newLab(t), newScenario(seed)
			l.write("pipelines/p.yaml", `
pipeline: p
tables:
  silver.rows:
    source: {files: "in/*.csv"}
    columns: {id: int, value: string, lsn: long, part: int}
    steps: [{drop: [_source_file, _source_row, _loaded_at]}]`+s.settings)
			for delivery := range s.deliveries {
				for file := range 1 + s.random.IntN(2) {
					l.write(fmt.Sprintf("in/%02d-%d.csv", delivery, file), s.file())
				}
				p, diagnostics := l.a.Plan(t.Context(), "p", nil)
				require.NoError(t, diagnostics.Err())
				_, err := l.a.Build(t.Context(), wire.Build{
					Pipeline: "p", Run: fmt.Sprint("run", delivery), Workflow: fmt.Sprint("w", delivery), FirstRun: "f",
					LoadedAt: time.Date(2024, 1, 1, delivery, 0, 0, 0, time.UTC),
				}, &p.Tables[0])
				require.NoError(t, err, "seed %d: %s", seed, s.settings)
				require.Equal(t, s.model.rows(s.history, s.two), l.rows("silver.rows", s.columns()...),
					"seed %d, delivery %d: replay it with VARVE_SEED=%d\n%s", seed, delivery, seed, s.settings)
			}
		})
	}
}
