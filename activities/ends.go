package activities

import (
	"slices"

	"github.com/varve-lake/varve/sources"
)

// sampled bounds the files that are kept of a listing for inference, of which Infer samples some. What comes beyond it
// and has other columns is noticed when it is read.
const sampled = 10_000

// ends keeps the first files of a listing and the last ones, where new columns turn up.
type ends struct {
	count int
	first []sources.File // up to half of sampled
	last  []sources.File // those after: a ring of as many, the oldest at the count's place
}

func (e *ends) add(f sources.File) {
	const half = sampled / 2
	switch at := e.count - half; {
	case at < 0:
		e.first = append(e.first, f)
	case at < half:
		e.last = append(e.last, f)
	default:
		e.last[at%half] = f
	}
	e.count++
}

// files are those kept, in their order.
func (e *ends) files() []sources.File {
	oldest := 0
	if e.count > sampled {
		oldest = e.count % (sampled / 2)
	}
	return slices.Concat(e.first, e.last[oldest:], e.last[:oldest])
}
