package datafile

import (
	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// span is a range of row positions, from before to. Lists of spans are ascending and do not touch.
type span struct{ from, to int64 }

func (s span) rows() int64 { return s.to - s.from }

func spanRows(spans []span) int64 {
	n := int64(0)
	for _, s := range spans {
		n += s.rows()
	}
	return n
}

func intersect(a, b []span) []span {
	var out []span
	for i, j := 0, 0; i < len(a) && j < len(b); {
		from, to := max(a[i].from, b[j].from), min(a[i].to, b[j].to)
		if from < to {
			out = append(out, span{from, to})
		}
		if a[i].to < b[j].to {
			i++
		} else {
			j++
		}
	}
	return out
}

func union(a, b []span) []span {
	var out []span
	for i, j := 0, 0; i < len(a) || j < len(b); {
		var next span
		if j == len(b) || i < len(a) && a[i].from <= b[j].from {
			next = a[i]
			i++
		} else {
			next = b[j]
			j++
		}
		if n := len(out); n > 0 && next.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, next.to)
		} else {
			out = append(out, next)
		}
	}
	return out
}

// spansOf covers the positions of a bitmap within one span. Positions not further apart than gap are in one span, with what is
// between them.
func spansOf(rows *roaring64.Bitmap, within span, gap int64) []span {
	var out []span
	it := rows.Iterator()
	it.AdvanceIfNeeded(uint64(within.from))
	for it.HasNext() {
		p := int64(it.Next())
		if p >= within.to {
			break
		}
		if n := len(out); n > 0 && p-out[n-1].to <= gap {
			out[n-1].to = p + 1
		} else {
			out = append(out, span{p, p + 1})
		}
	}
	return out
}

// cutSpans takes spans of up to rows rows off the front of a list.
func cutSpans(spans []span, rows int64) (head, rest []span) {
	for i, s := range spans {
		if s.rows() >= rows {
			head = append(head, span{s.from, s.from + rows})
			if s.rows() > rows {
				return head, append([]span{{s.from + rows, s.to}}, spans[i+1:]...)
			}
			return head, spans[i+1:]
		}
		head = append(head, s)
		rows -= s.rows()
	}
	return head, nil
}
