package merge

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// FoundInserts is what was written for the source rows that no file matched. It
// holds as long as the same rows are without a match.
type FoundInserts struct {
	Files   []FileForm `json:"files,omitempty"`
	Paths   []string   `json:"paths,omitempty"`
	Rows    int64      `json:"rows"`
	Without int64      `json:"without,omitempty"`
	Matched []byte     `json:"matched,omitempty"` // the source rows that had a match
}

// keep says in a division what of the earlier results no longer holds, and gives
// it what this process has found and written itself. From here on that is no
// longer this plan's, to remove or to forget.
func (p *Plan) keep(meta table.Metadata, d *Division) error {
	for path := range p.adopted {
		if f := p.files[path]; f == nil || !f.elsewhere {
			d.Dropped = append(d.Dropped, path)
		}
	}
	slices.Sort(d.Dropped)
	d.Fresh = len(p.adopted) == 0 && (p.inserts == nil || !p.inserts.elsewhere)
	d.Spilled, d.Read, d.Stages = p.spent()
	kept, err := p.found(meta, nil)
	if err != nil {
		return err
	}
	if len(kept.Files) == 0 && len(kept.Paths()) == 0 {
		return nil
	}
	d.Kept, d.Count = kept, d.Count+1
	for _, f := range p.files {
		f.elsewhere = true
	}
	for g := range p.groups {
		g.elsewhere = true
	}
	if p.inserts != nil {
		p.inserts.elsewhere = true
	}
	return nil
}

// Done is the division with what it kept, and without what came of its groups.
func (d *Division) Done() Done {
	out := Done{Division: *d}
	if d.Kept != nil {
		out.Found = append(out.Found, d.Kept)
	}
	return out
}

// spent is what this process has spilled, read and worked for the merge, without
// what it took over.
func (p *Plan) spent() (spilled, read int64, stages map[string]time.Duration) {
	stages = maps.Clone(p.stats.Stages)
	for stage, took := range p.taken.Stages {
		stages[stage] -= took
	}
	return p.stats.SpilledBytes - p.taken.SpilledBytes, p.read.Load(), stages
}

func (p *Plan) describeInserts(meta table.Metadata) (_ *FoundInserts, err error) {
	out := &FoundInserts{Rows: p.inserts.rows, Without: p.inserts.without}
	if out.Files, err = datafile.EncodeFiles(meta, p.inserts.files); err != nil {
		return nil, fmt.Errorf("merge into %s: describe what was inserted: %w", p.binding.table, err)
	}
	for _, f := range p.inserts.files {
		out.Paths = append(out.Paths, f.FilePath())
	}
	out.Matched, err = bitmapBytes(p.matched)
	return out, err
}

func (p *Plan) adoptInserts(d *datafile.Decoder, f *FoundInserts) error {
	p.dropInserts()
	files, err := d.Files(f.Files)
	if err != nil {
		return err
	}
	matched, err := bitmapFrom(f.Matched)
	if err != nil {
		return err
	}
	p.inserts, p.matched = &inserted{files: files, rows: f.Rows, without: f.Without, elsewhere: true}, matched
	return nil
}

// dropInserts gives up what was inserted.
func (p *Plan) dropInserts() {
	if p.inserts == nil {
		return
	}
	if p.inserts.elsewhere {
		p.dropped = append(p.dropped, &written{addData: p.inserts.files})
	} else {
		p.removeFiles(p.inserts.files)
	}
	p.inserts = nil
}
