package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
)

// minor puts delete files together, removes those that delete nothing, or writes manifests anew.
func (s *sim) minor(writer string, i int, rng *rand.Rand) *operation {
	op := &operation{writer: writer, token: fmt.Sprintf("%s-%d", writer, i)}
	time.Sleep(time.Duration(rng.Int64N(int64(3 * olderThan))))
	var do func(p *process, t *tables.Table) (tables.Result, error)
	switch rng.IntN(3) {
	case 0:
		op.kind = "merge deletes"
		do = func(p *process, t *tables.Table) (tables.Result, error) {
			r, err := t.MergeDeletes(bg, p.commitOptions(), maintain.MergeDeletesOptions{MinInputFiles: 2})
			s.count("group that a merge of deletes left to a writer", r.Dropped)
			return r.Result, err
		}
	case 1:
		op.kind = "remove dangling deletes"
		do = func(p *process, t *tables.Table) (tables.Result, error) {
			r, err := t.RemoveDanglingDeletes(bg, p.commitOptions(), maintain.DanglingOptions{})
			return r.Result, err
		}
	default:
		op.kind = "rewrite manifests"
		o := maintain.ManifestOptions{MinInputManifests: 2, TargetBytes: []int64{0, 6 << 10}[rng.IntN(2)]}
		do = func(p *process, t *tables.Table) (tables.Result, error) {
			r, err := t.RewriteManifests(bg, p.commitOptions(), o)
			return r.Result, err
		}
	}
	op.do = func(p *process) (bool, error) {
		t, err := p.table()
		if err != nil {
			return false, err
		}
		r, err := do(p, t)
		p.met(r)
		return r.Committed || r.AlreadyCommitted, err
	}
	return op
}
