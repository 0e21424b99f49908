package contention

import (
	"fmt"
	"slices"
)

// model is what the table's rows must be: changes carried out one after another, by nothing but Go's maps.
type model map[int64][]row

func newModel(w work) model {
	m := model{}
	for k := range w.Initial {
		m[k] = []row{{K: k, V: w.initialValue(k)}}
	}
	return m
}

func (m model) apply(c change) {
	for _, r := range c.Rows {
		switch {
		case c.Kind == appends:
			m[r.K] = append(m[r.K], row{K: r.K, V: r.V})
		case c.Kind == deletes || r.Del:
			delete(m, r.K)
		case len(m[r.K]) == 0:
			m[r.K] = []row{{K: r.K, V: r.V}}
		default:
			for i, t := range m[r.K] {
				m[r.K][i] = row{K: r.K, V: (31*t.V + r.V) % modulus, N: t.N + 1}
			}
		}
	}
}

func (m model) texts() []string {
	var out []string
	for _, rows := range m {
		for _, r := range rows {
			out = append(out, r.String())
		}
	}
	slices.Sort(out)
	return out
}

// replay gives the rows to which the commits come in this order.
func replay(w work, order []string) ([]string, error) {
	m, all := newModel(w), w.all()
	for _, id := range order {
		c, ok := all[id]
		if !ok {
			return nil, fmt.Errorf("a commit %q that nobody was asked for", id)
		}
		m.apply(c)
	}
	return m.texts(), nil
}

// differ counts the rows, duplicates counted, that are in one list and not in the other. Both are sorted.
func differ(want, got []string) (missing, extra []string) {
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0] < got[0]:
			missing, want = append(missing, want[0]), want[1:]
		case len(want) == 0 || got[0] < want[0]:
			extra, got = append(extra, got[0]), got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	return missing, extra
}
