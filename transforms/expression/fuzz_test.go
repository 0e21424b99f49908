package expression_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// fuzzBatch has a column of every kind.
func fuzzBatch() arrow.RecordBatch {
	types := map[string]arrow.DataType{
		"b": arrow.FixedWidthTypes.Boolean, "i": arrow.PrimitiveTypes.Int32, "l": arrow.PrimitiveTypes.Int64,
		"f": arrow.PrimitiveTypes.Float32, "x": arrow.PrimitiveTypes.Float64, "m": &arrow.Decimal128Type{Precision: 10, Scale: 2},
		"s": arrow.BinaryTypes.String, "bin": arrow.BinaryTypes.Binary, "d": arrow.FixedWidthTypes.Date32,
		"t": arrow.FixedWidthTypes.Time64us, "ts": &arrow.TimestampType{Unit: arrow.Microsecond},
		"tz": &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, "u": extensions.NewUUIDType(),
		"xs": columntype.List(arrow.PrimitiveTypes.Int32), "mm": arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32),
		"p":   arrow.StructOf(arrow.Field{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}),
		"fix": &arrow.FixedSizeBinaryType{ByteWidth: 4}, "ns": &arrow.TimestampType{Unit: arrow.Nanosecond}, "nul": arrow.Null,
	}
	var fields []arrow.Field
	var columns []arrow.Array
	for name, t := range types {
		b := array.NewBuilder(memory.DefaultAllocator, t)
		b.AppendEmptyValue()
		b.AppendNull()
		b.AppendEmptyValue()
		fields = append(fields, arrow.Field{Name: name, Type: t, Nullable: true})
		columns = append(columns, b.NewArray())
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, 3)
}

// FuzzCompile: no text makes the compiler or what it compiles panic; a mistake is an *Error within the text; and the
// result has the type that was announced, a value a row.
func FuzzCompile(f *testing.F) {
	for _, d := range expression.Functions() {
		f.Add(d.Example)
		f.Add(d.Signature)
	}
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		in, err := os.Open(file)
		require.NoError(f, err)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			if line := lines.Text(); line != "" && !strings.HasPrefix(line, "=>") {
				f.Add(line)
			}
		}
		in.Close()
	}
	batch := fuzzBatch()
	scope := expression.Scope{"": batch.Schema()}
	sliced := batch.NewSlice(1, 3)
	none := batch.NewSlice(0, 0)
	f.Fuzz(func(t *testing.T, source string) {
		hang := time.AfterFunc(20*time.Second, func() { panic("hangs: " + source) })
		defer hang.Stop()
		p, err := expression.Compile(source, scope)
		if err != nil {
			var mistake *expression.Error
			require.True(t, errors.As(err, &mistake), "%v", err)
			require.LessOrEqual(t, mistake.Offset, len(source))
			require.GreaterOrEqual(t, mistake.Offset, 0)
			return
		}
		for _, b := range []arrow.RecordBatch{batch, sliced, none} {
			out, faults, err := p.EvalRows(context.Background(), b)
			if err != nil { // only what is too much for a batch
				require.ErrorContains(t, err, "too much")
				continue
			}
			require.True(t, arrow.TypeEqual(p.Type(), out.DataType()), "%s, expected %s", out.DataType(), p.Type())
			require.EqualValues(t, b.NumRows(), out.Len())
			last := -1
			for _, fault := range faults {
				require.Greater(t, fault.Row, last)
				require.Less(t, fault.Row, out.Len())
				require.False(t, vector.Validity(out).IsValid(fault.Row)) // arrow's Null says that its rows are not null
				last = fault.Row
			}
			out.Release()
		}
	})
}
