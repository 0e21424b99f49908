package merge

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// routedPayload is a source whose rows do not fit in memory: they were written
// to disk in the order in which files are changed.
//
// The way there is linear too. Verdicts are bucketed by ranges of source rows;
// the source is read once, and its rows are bucketed by ranges of positions of
// the files that they go to.
type routedPayload struct {
	spill *spill
	types map[string]arrow.DataType // of the columns
	index map[string]int            // of files, by path
}

const (
	sourceRangeBits   = 18
	positionRangeBits = 17
)

// routing is the way from source rows to files.
type routing struct {
	*binding
	limit int64
	// order holds, by range of source rows, which row goes to which position.
	order *spill
	out   *spiller
}

// route reads the columns of all source rows that verdicts name.
func route(ctx context.Context, b *binding, source Source, columns []string, files []*targetFile, log *verdictLog) (*routedPayload, error) {
	order, err := newSpill(b.opts.TempDir)
	if err != nil {
		return nil, err
	}
	defer order.close()
	to, err := newSpill(b.opts.TempDir)
	if err != nil {
		return nil, err
	}
	r := &routing{binding: b, limit: b.opts.MemoryLimit / 16, order: order, out: newSpiller(to, b.opts.MemoryLimit/16)}
	err = r.sort(ctx, files, log)
	if err == nil {
		err = r.read(ctx, source, columns)
	}
	if err == nil {
		err = r.out.flush()
	}
	if err != nil {
		to.close()
		return nil, fmt.Errorf("route the source's rows: %w", err)
	}
	p := &routedPayload{spill: to, types: map[string]arrow.DataType{}, index: map[string]int{}}
	for _, c := range columns {
		field, _ := fieldOf(b.source, c)
		p.types[c] = field.Type
	}
	for i, f := range files {
		p.index[f.task.File.FilePath()] = i
	}
	return p, nil
}

// sort buckets the verdicts by source row.
func (r *routing) sort(ctx context.Context, files []*targetFile, log *verdictLog) error {
	out := newSpiller(r.order, r.limit)
	for file := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		verdicts, err := log.of(file)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(verdicts, batchRows) {
			var sources, numbers, positions []uint32
			var buckets []uint64
			for _, v := range part {
				if v.source == noSource || r.clauseOf(v).action != Update {
					continue
				}
				sources, numbers, positions = append(sources, v.source), append(numbers, uint32(file)), append(positions, v.position)
				buckets = append(buckets, uint64(v.source>>sourceRangeBits))
			}
			if len(sources) == 0 {
				continue
			}
			f := newFrame(len(sources))
			f.add(rowColumn, uint32s(sources))
			f.add(fileColumn, uint32s(numbers))
			f.add(positionColumn, uint32s(positions))
			if err := out.add(f, buckets); err != nil {
				return err
			}
		}
	}
	return out.flush()
}

// destination is where a source row goes.
type destination struct{ source, file, position uint32 }

func (r *routing) destinations(bucket uint64) ([]destination, error) {
	var out []destination
	err := r.order.each(bucket, func(batch arrow.RecordBatch) error {
		f := frameOf(batch)
		files, positions := f.uint32At(fileColumn), f.uint32At(positionColumn)
		for i, s := range f.uint32At(rowColumn) {
			out = append(out, destination{s, files[i], positions[i]})
		}
		return nil
	})
	slices.SortFunc(out, func(a, b destination) int { return int(int64(a.source) - int64(b.source)) })
	return out, err
}

// read goes through the source once, and sends its rows where they belong.
func (r *routing) read(ctx context.Context, source Source, columns []string) error {
	first, bucket, loaded := uint32(0), uint64(0), false
	var left []destination
	return each(ctx, source, columns, func(all []arrow.Array, n int) error {
		for at := first; at < first+uint32(n); {
			if b := uint64(at >> sourceRangeBits); !loaded || b != bucket {
				var err error
				if left, err = r.destinations(b); err != nil {
					return err
				}
				bucket, loaded = b, true
			}
			end := min(uint64(first)+uint64(n), (bucket+1)<<sourceRangeBits)
			k := sort.Search(len(left), func(i int) bool { return uint64(left[i].source) >= end })
			if err := r.send(all, columns, first, left[:k]); err != nil {
				return err
			}
			left = left[k:]
			at = uint32(end)
		}
		first += uint32(n)
		return nil
	})
}

func (r *routing) send(all []arrow.Array, columns []string, first uint32, to []destination) error {
	for part := range slices.Chunk(to, batchRows) {
		refs := make([]rows.Ref, len(part))
		buckets := make([]uint64, len(part))
		positions := make([]uint32, len(part))
		for i, d := range part {
			refs[i] = rows.At(0, int(d.source-first))
			buckets[i], positions[i] = bucketOf(int(d.file), d.position), d.position
		}
		f := newFrame(len(part))
		for i, c := range columns {
			a, err := rows.Gather(all[i:i+1], refs)
			if err != nil {
				return fmt.Errorf("source column %s: %w", c, err)
			}
			f.add(sourceScope+c, a)
		}
		f.add(positionColumn, uint32s(positions))
		if err := r.out.add(f, buckets); err != nil {
			return err
		}
	}
	return nil
}

func bucketOf(file int, position uint32) uint64 {
	return uint64(file)<<32 | uint64(position>>positionRangeBits)
}

func (p *routedPayload) cursor(_ context.Context, f *targetFile) (cursor, error) {
	return &routedCursor{routedPayload: p, file: p.index[f.task.File.FilePath()], bucket: ^uint64(0)}, nil
}

func (p *routedPayload) release() { p.spill.close() }

// routedCursor holds one range of a file's rows at a time.
type routedCursor struct {
	*routedPayload
	file      int
	bucket    uint64
	chunks    []*frame
	positions map[uint32]rows.Ref
}

func (c *routedCursor) load(bucket uint64) error {
	c.close()
	c.bucket, c.positions = bucket, map[uint32]rows.Ref{}
	return c.spill.each(bucket, func(batch arrow.RecordBatch) error {
		f := frameOf(batch)
		for _, a := range f.columns {
			a.Retain() // until close
		}
		for i, p := range f.uint32At(positionColumn) {
			c.positions[p] = rows.At(len(c.chunks), i)
		}
		c.chunks = append(c.chunks, f)
		return nil
	})
}

func (c *routedCursor) close() {
	for _, f := range c.chunks {
		f.release()
	}
	c.chunks, c.bucket = nil, ^uint64(0)
}

func (c *routedCursor) take(ctx context.Context, columns []string, verdicts []verdict) (*frame, error) {
	var parts []*frame
	defer func() {
		for _, p := range parts {
			p.release()
		}
	}()
	for len(verdicts) > 0 {
		bucket := bucketOf(c.file, verdicts[0].position)
		n := sort.Search(len(verdicts), func(i int) bool { return bucketOf(c.file, verdicts[i].position) > bucket })
		part, err := c.takeFrom(bucket, columns, verdicts[:n])
		if err != nil {
			return nil, err
		}
		parts, verdicts = append(parts, part), verdicts[n:]
	}
	if len(parts) == 1 {
		out := parts[0]
		parts = nil
		return out, nil
	}
	return concat(parts)
}

func (c *routedCursor) takeFrom(bucket uint64, columns []string, verdicts []verdict) (*frame, error) {
	if bucket != c.bucket {
		if err := c.load(bucket); err != nil {
			return nil, err
		}
	}
	refs := make([]rows.Ref, len(verdicts))
	for i, v := range verdicts {
		r, ok := c.positions[v.position]
		switch {
		case ok:
			refs[i] = r
		case v.source == noSource:
			refs[i] = rows.Null
		default:
			return nil, fmt.Errorf("source row %d was not routed", v.source)
		}
	}
	out := newFrame(len(verdicts))
	for _, name := range columns {
		chunks := make([]arrow.Array, len(c.chunks))
		for i, f := range c.chunks {
			chunks[i] = f.column(sourceScope + name)
		}
		a, err := gather(c.types[name], chunks, refs)
		if err != nil {
			out.release()
			return nil, fmt.Errorf("source column %s: %w", name, err)
		}
		out.add(sourceScope+name, a)
	}
	return out, nil
}
