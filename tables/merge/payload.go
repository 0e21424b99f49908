package merge

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
)

// memoryPayload is a source whose rows are all in memory.
type memoryPayload struct {
	stores []*store // each with columns of its own, of the same rows
	own    *store   // the one to release
}

// loadPayload reads columns of the source that are not in memory yet. With more
// bytes than limit it gives up with errTooMuch.
func loadPayload(ctx context.Context, b *binding, source Source, decide *store, columns []string, limit int64) (*memoryPayload, error) {
	p := &memoryPayload{}
	var rest []string
	for _, c := range columns {
		if decide == nil || !slices.Contains(b.sourceDecide, c) {
			rest = append(rest, c)
		}
	}
	if decide != nil {
		p.stores = append(p.stores, decide)
	}
	if len(rest) == 0 {
		return p, nil
	}
	more := newStore(b.source, rest)
	err := each(ctx, source, rest, func(all []arrow.Array, n int) error {
		more.append(all, n)
		if more.bytes > limit {
			return errTooMuch
		}
		return nil
	})
	if err != nil {
		more.release()
		if err == errTooMuch {
			return nil, err
		}
		return nil, fmt.Errorf("merge into %s: load the source's rows: %w", b.table, err)
	}
	p.own = more
	p.stores = append(p.stores, more)
	return p, nil
}

var errTooMuch = fmt.Errorf("more than fits in memory")

func (p *memoryPayload) cursor(context.Context, *targetFile) (cursor, error) { return p, nil }

func (p *memoryPayload) close() {}

func (p *memoryPayload) take(_ context.Context, columns []string, verdicts []verdict) (*frame, error) {
	numbers := make([]uint32, len(verdicts))
	for i, v := range verdicts {
		numbers[i] = v.source
	}
	return p.rows(sourceScope, columns, numbers)
}

// rows gathers rows by number, from whichever store has a column.
func (p *memoryPayload) rows(prefix string, columns []string, numbers []uint32) (*frame, error) {
	out := newFrame(len(numbers))
	for _, s := range p.stores {
		var mine []string
		for _, f := range s.fields {
			if slices.Contains(columns, f.Name) {
				mine = append(mine, f.Name)
			}
		}
		if len(mine) == 0 {
			continue
		}
		f, err := s.take(prefix, mine, numbers)
		if err != nil {
			out.release()
			return nil, err
		}
		out = f.join(out)
	}
	if len(out.names) < len(columns) {
		out.release()
		return nil, fmt.Errorf("source columns %v: not all of them were loaded", columns)
	}
	return out, nil
}

func (p *memoryPayload) release() {
	if p.own != nil {
		p.own.release()
	}
}
