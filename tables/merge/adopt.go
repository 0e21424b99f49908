package merge

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// adopt takes over what other processes found, division after division. What
// rests on another shape of the table than the head's is not taken over: then
// the merge is planned anew.
func (p *Plan) adopt(meta table.Metadata) error {
	p.adopted = map[string]bool{}
	for _, done := range p.fan.Done {
		if done.Division.Fresh {
			p.forgetAll()
		}
		for _, path := range done.Division.Dropped {
			if f := p.files[path]; f != nil {
				p.drop(f)
			}
		}
		for _, found := range done.Found {
			if err := p.adoptFound(meta, found); err != nil {
				return fmt.Errorf("merge into %s: what was found elsewhere: %w", p.binding.table, err)
			}
		}
		snapshot := done.Division.Snapshot
		p.base = &snapshot
		if len(done.Found) < done.Division.Count {
			p.base = nil // not all is known
		}
		p.took(done.Division.Spilled, done.Division.Read, done.Division.Stages)
		p.stats.SourceRows, p.stats.FilesPruned = done.Division.SourceRows, done.Division.Pruned
		if done.Division.Shape != p.shape {
			p.forgetAll()
		}
	}
	for path := range p.files {
		p.adopted[path] = true
	}
	p.taken = p.stats
	p.taken.Stages = maps.Clone(p.stats.Stages)
	return nil
}

// took counts what the merge has cost another process.
func (p *Plan) took(spilled, read int64, stages map[string]time.Duration) {
	p.stats.SpilledBytes += spilled
	p.stats.BytesRead += read
	for stage, took := range stages {
		p.stats.add(stage, took)
	}
}

// forgetAll drops everything that was taken over.
func (p *Plan) forgetAll() {
	for _, path := range p.filesInOrder() {
		if f := p.files[path]; f != nil {
			p.drop(f)
		}
	}
	p.dropInserts()
	p.base = nil
}

func (p *Plan) adoptFound(meta table.Metadata, found *Found) error {
	d, err := found.Shape.decoder(meta)
	if err != nil {
		return err
	}
	groups := make([]*groupState, len(found.Groups))
	for i, g := range found.Groups {
		if groups[i], err = changesOf(d, g); err != nil {
			return err
		}
		p.groups[groups[i]] = true
	}
	for _, f := range found.Files {
		if old := p.files[f.Path]; old != nil {
			p.drop(old)
		}
		state, err := stateOf(f)
		if err != nil {
			return err
		}
		if f.Change < 0 || f.Change > len(groups) {
			return fmt.Errorf("%s: it was written with group %d of %d", f.Path, f.Change, len(groups))
		}
		if f.Change > 0 {
			state.group = groups[f.Change-1]
			state.group.files = append(state.group.files, state)
		}
		p.files[f.Path] = state
	}
	p.took(found.Spilled, found.Read, found.Stages)
	if found.Inserts != nil {
		return p.adoptInserts(d, found.Inserts)
	}
	return nil
}

func stateOf(f FoundFile) (*fileState, error) {
	out := &fileState{path: f.Path, signature: f.Signature, elsewhere: true}
	var err error
	if out.matched, err = bitmapFrom(f.Matched); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	if out.applied = out.matched; !f.All {
		if out.applied, err = bitmapFrom(f.Applied); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return out, nil
}

func changesOf(d *datafile.Decoder, g FoundChanges) (*groupState, error) {
	w := &written{updated: g.Updated, deleted: g.Deleted, identical: g.Identical, carried: g.Carried, carriedBytes: g.CarriedBytes}
	for _, l := range []struct {
		to    *[]iceberg.DataFile
		forms []FileForm
	}{{&w.addData, g.AddData}, {&w.removeData, g.RemoveData}, {&w.addDeletes, g.AddDeletes}, {&w.removeDeletes, g.RemoveDeletes}} {
		var err error
		if *l.to, err = d.Files(l.forms); err != nil {
			return nil, err
		}
	}
	return &groupState{out: w, elsewhere: true}, nil
}

// Moved tells whether Match failed because the table has another layout than
// when the merge was divided: it is to be divided anew.
func Moved(err error) bool { return errors.Is(err, errMoved) }
