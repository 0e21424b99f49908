package merge

import (
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// maxFew is how many keys are looked up in Bloom filters and page indexes before
// a column is read: with more of them one of a hundred absent keys is taken for
// present in nearly every row group, and nothing is left out.
const maxFew = 64

// fewKeys are the different values of one key of the source, while they are few.
type fewKeys struct {
	key  int // of the ON condition
	seen map[any]bool
}

// fewOf is nil for keys that a file's indexes cannot be asked for.
func (b *binding) fewOf(i int) *fewKeys {
	s, _ := fieldOf(b.source, b.keys[i].source)
	t, _ := fieldOf(b.target, b.keys[i].target)
	if !arrow.TypeEqual(s.Type, t.Type) || b.opts.NullSafe {
		return nil
	}
	switch b.keys[i].field.Type.(type) {
	case iceberg.Int32Type, iceberg.Int64Type, iceberg.DateType, iceberg.TimestampType, iceberg.TimestampTzType, iceberg.StringType, iceberg.UUIDType:
		return &fewKeys{key: i, seen: map[any]bool{}}
	}
	return nil
}

// add notes a column's values, until there are too many.
func (f *fewKeys) add(a arrow.Array, t iceberg.Type) {
	for i := 0; i < a.Len() && len(f.seen) <= maxFew; i++ {
		if a.IsValid(i) {
			v := boxed(a, i, t)
			if text, ok := v.(string); ok {
				v = strings.Clone(text) // the array's memory goes
			}
			f.seen[v] = true
		}
	}
}

// few says what rows the source's keys can be found in, for a file's indexes;
// nil if the keys are too many.
func (b *binding) few(l *loaded) iceberg.BooleanExpression {
	var out iceberg.BooleanExpression
	for _, f := range l.few {
		if len(f.seen) == 0 || len(f.seen) > maxFew {
			continue
		}
		if in := f.in(iceberg.Reference(b.keys[f.key].target)); in != nil && out == nil {
			out = in
		} else if in != nil {
			out = iceberg.NewAnd(out, in)
		}
	}
	return out
}

func (f *fewKeys) in(column iceberg.Reference) iceberg.BooleanExpression {
	for v := range f.seen { // all are of one type
		switch v.(type) {
		case int32:
			return isIn[int32](column, f.seen)
		case int64:
			return isIn[int64](column, f.seen)
		case iceberg.Date:
			return isIn[iceberg.Date](column, f.seen)
		case iceberg.Timestamp:
			return isIn[iceberg.Timestamp](column, f.seen)
		case string:
			return isIn[string](column, f.seen)
		case uuid.UUID:
			return isIn[uuid.UUID](column, f.seen)
		}
		break
	}
	return nil
}

func isIn[T iceberg.LiteralType](column iceberg.Reference, values map[any]bool) iceberg.BooleanExpression {
	out := make([]T, 0, len(values))
	for v := range values {
		out = append(out, v.(T))
	}
	return iceberg.IsIn(column, out...)
}
