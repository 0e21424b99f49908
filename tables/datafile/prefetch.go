package datafile

import (
	"context"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/file"
	"golang.org/x/sync/errgroup"
)

const (
	// joinGap is how far apart ranges of a remote file may lie and be read with one request: the bytes between take no longer than
	// another request would.
	joinGap = 1 << 20
	// maxRequest is the length above which a range is fetched by several requests at once.
	maxRequest = 8 << 20
	// requestsAtOnce bounds those of one file.
	requestsAtOnce = 4
	// streamBuffer is what is read at a time of a column of which single pages are wanted.
	streamBuffer = 64 << 10
	// localBuffer is the same for files on this machine, where it is for headers of pages alone: pages are longer, and are read
	// without it.
	localBuffer = 4 << 10
)

// join sorts ranges and joins those that lie not further apart than gap.
func join(ranges []span, gap int64) []span {
	slices.SortFunc(ranges, func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) })
	var out []span
	for _, r := range ranges {
		if n := len(out); n > 0 && r.from-out[n-1].to <= gap {
			out[n-1].to = max(out[n-1].to, r.to)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// fetch reads ranges of a remote file ahead, joined, so that what is then read of them takes no requests of its own.
func (s *source) fetch(ctx context.Context, ranges []span) error {
	var requests []span
	for _, r := range join(ranges, joinGap) {
		for r.rows() > maxRequest {
			requests = append(requests, span{r.from, r.from + maxRequest})
			r.from += maxRequest
		}
		requests = append(requests, r)
	}
	segments := make([]segment, len(requests))
	g, _ := errgroup.WithContext(ctx)
	g.SetLimit(requestsAtOnce)
	for i, r := range requests {
		g.Go(func() error {
			p := make([]byte, r.rows())
			n, err := s.readAt(p, r.from)
			if err == io.EOF && n == len(p) {
				err = nil
			}
			segments[i] = segment{span{r.from, r.from + int64(n)}, p[:n]}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	s.mu.Lock()
	s.segments = append(s.segments, segments...)
	slices.SortFunc(s.segments, func(a, b segment) int { return int(min(max(a.from-b.from, -1), 1)) })
	s.mu.Unlock()
	return nil
}

// fetched serves a read from what was fetched, also from several segments that touch.
func (s *source) fetched(p []byte, off int64) (int, bool) {
	if !s.remote {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	done := 0
	for _, seg := range s.segments {
		at := off + int64(done)
		if seg.from > at {
			break
		}
		if at < seg.to {
			done += copy(p[done:], seg.bytes[at-seg.from:])
		}
		if done == len(p) {
			return done, true
		}
	}
	return 0, false
}

// has tells a range that was fetched whole.
func (s *source) has(r span) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := r.from
	for _, seg := range s.segments {
		if seg.from <= at && at < seg.to {
			at = seg.to
		}
	}
	return at >= r.to
}

// forget lets go of what was fetched.
func (s *source) forget() {
	s.mu.Lock()
	s.segments = nil
	s.mu.Unlock()
}

// pageRanges are the bytes of a column chunk that hold some of its rows: its dictionary, and the pages that the page index names.
// Without an index it is the whole chunk.
func pageRanges(r *file.Reader, group, column int, spans []span, rows int64) []span {
	chunk, err := r.MetaData().RowGroup(group).ColumnChunk(column)
	if err != nil {
		return nil // what reads the column says so
	}
	from := chunk.DataPageOffset()
	if chunk.HasDictionaryPage() && chunk.DictionaryPageOffset() > 0 {
		from = min(from, chunk.DictionaryPageOffset())
	}
	size := r.MetaData().GetSourceFileSize()
	whole := span{max(from, 0), min(max(from, 0)+max(chunk.TotalCompressedSize(), 0), size)}
	if whole.rows() <= 0 {
		return nil
	}
	index, err := r.GetPageIndexReader().RowGroup(group)
	if err != nil || index == nil {
		return []span{whole}
	}
	offsets, err := index.GetOffsetIndex(column)
	if err != nil || offsets == nil || len(offsets.GetPageLocations()) == 0 {
		return []span{whole}
	}
	pages := offsets.GetPageLocations()
	out := []span{{whole.from, min(max(pages[0].GetOffset(), whole.from), whole.to)}} // the dictionary
	for i, p := range pages {
		end := rows
		if i+1 < len(pages) {
			end = pages[i+1].FirstRowIndex
		}
		if len(intersect(spans, []span{{p.FirstRowIndex, end}})) > 0 {
			// The reader reads on to fill its buffer; where that were another request, it is fetched too.
			to := min(p.GetOffset()+int64(p.GetCompressedPageSize())+streamBuffer, whole.to)
			if begin := max(p.GetOffset(), whole.from); begin < to {
				out = append(out, span{begin, to})
			}
		}
	}
	return out
}
