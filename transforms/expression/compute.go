package expression

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// faultLog collects the rows that a kernel could not compute, and makes them null.
type faultLog struct {
	n      int
	valid  vector.Bits
	faults []Fault
}

// add says that row i is wrong. Rows are added in order.
func (l *faultLog) add(i int, message string) {
	if len(l.faults) == 0 {
		if l.valid == nil {
			l.valid = vector.Ones(l.n)
		} else {
			l.valid = l.valid.Copy(l.n)
		}
	}
	l.valid.Clear(i)
	l.faults = append(l.faults, Fault{Row: i, Message: message})
}

// computeFixed runs f on every valid row; f names what is wrong, if anything.
func computeFixed[T vector.Fixed](dt arrow.DataType, n int, valid vector.Bits, f func(i int) (T, string)) (arrow.Array, []Fault, error) {
	out, log := vector.Alloc[T](n), faultLog{n: n, valid: valid}
	for i := range out {
		if !valid.IsValid(i) {
			continue
		}
		v, problem := f(i)
		if problem != "" {
			log.add(i, problem)
			continue
		}
		out[i] = v
	}
	return vector.FromValues(dt, out, log.valid), log.faults, nil
}

// computeBools is computeFixed for a boolean result.
func computeBools(n int, valid vector.Bits, f func(i int) (bool, string)) (arrow.Array, []Fault, error) {
	out, log := vector.NewBits(n), faultLog{n: n, valid: valid}
	for i := range n {
		if !valid.IsValid(i) {
			continue
		}
		v, problem := f(i)
		if problem != "" {
			log.add(i, problem)
		} else if v {
			out.Set(i)
		}
	}
	return vector.FromBools(out, n, log.valid), log.faults, nil
}

// computeTexts is computeFixed for text; f appends row i's value to dst.
func computeTexts(dt arrow.DataType, n, size int, valid vector.Bits, f func(dst []byte, i int) ([]byte, string)) (arrow.Array, []Fault, error) {
	out, log := vector.NewTextBuilder(n, size), faultLog{n: n, valid: valid}
	for i := range n {
		if valid.IsValid(i) {
			var problem string
			if out.Data, problem = f(out.Data, i); problem != "" {
				out.Cut()
				log.add(i, problem)
			}
		}
		out.End()
	}
	arr, err := out.Finish(dt, log.valid)
	return arr, log.faults, err
}

// nullable computes rows of which f says itself whether they are null.
func nullable(n int, f func(i int) bool) vector.Bits {
	valid := vector.NewBits(n)
	for i := range n {
		if f(i) {
			valid.Set(i)
		}
	}
	return valid
}
