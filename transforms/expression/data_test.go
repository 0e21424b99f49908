package expression_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/internal/render"
	"github.com/varve-lake/varve/transforms/internal/rowtest"
)

var allocator = memory.DefaultAllocator

var update = flag.Bool("update", false, "rewrite testdata and the reference")

// TestData runs the files under testdata. A line `table` begins a batch: a line `name type; ...` and rows as JSON; columns
// named s.x and t.x make the scopes of a merge. Any
// other line is an expression; the lines `=> ...` below it are its result, rewritten by -update: its type and the value
// of each row, `!` before a fault, or the place of a mistake with message and hint.
func TestData(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			in, err := os.ReadFile(file)
			require.NoError(t, err)
			out := runData(t, string(in))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(out), 0o644))
			}
			require.Equal(t, string(in), out)
		})
	}
}

func runData(t *testing.T, in string) string {
	var out strings.Builder
	batch := emptyBatch(1)
	lines := strings.Split(strings.TrimSuffix(in, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "=> "):
			continue
		case line == "table":
			end := i + 2
			for end < len(lines) && lines[end] != "" {
				end++
			}
			batch = rowtest.Batch(t, lines[i+1], lines[i+2:end]...)
			out.WriteString(strings.Join(lines[i:end], "\n") + "\n")
			i = end - 1
			continue
		case line == "" || strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
			continue
		}
		out.WriteString(line + "\n=> " + outcome(line, batch) + "\n")
	}
	return out.String()
}

func emptyBatch(rows int64) arrow.RecordBatch {
	return array.NewRecordBatch(arrow.NewSchema(nil, nil), nil, rows)
}

func scopeOf(schema *arrow.Schema) expression.Scope {
	sides := map[string][]arrow.Field{}
	for _, f := range schema.Fields() {
		side, name, found := strings.Cut(f.Name, ".")
		if !found {
			side, name = "", f.Name
		}
		f.Name = name
		sides[side] = append(sides[side], f)
	}
	scope := expression.Scope{}
	for side, fields := range sides {
		scope[side] = arrow.NewSchema(fields, nil)
	}
	return scope
}

func outcome(source string, batch arrow.RecordBatch) string {
	p, err := expression.Compile(source, scopeOf(batch.Schema()))
	if err != nil {
		var mistake *expression.Error
		if !errors.As(err, &mistake) {
			return "unexpected error: " + err.Error()
		}
		return fmt.Sprintf("error at %d (%q): %s", mistake.Offset, rest(source, mistake.Offset), mistake)
	}
	out, faults, err := p.EvalRows(context.Background(), batch)
	if err != nil {
		return "unexpected error: " + err.Error()
	}
	defer out.Release()
	return describe(p.Type(), out, faults)
}

func rest(source string, offset int) string {
	tail := source[offset:]
	if len(tail) > 12 {
		tail = tail[:12]
	}
	return tail
}

func describe(t arrow.DataType, out arrow.Array, faults []expression.Fault) string {
	name, err := columntype.Format(t)
	if err != nil {
		name = t.String()
	}
	wrong := map[int]string{}
	for _, f := range faults {
		wrong[f.Row] = f.Message
	}
	write := render.JSON(out)
	var b bytes.Buffer
	b.WriteString(name + ": ")
	for i := range out.Len() {
		if i > 0 {
			b.WriteString(" | ")
		}
		message, isWrong := wrong[i]
		switch {
		case isWrong:
			b.WriteString("! " + message)
			if out.IsValid(i) {
				b.WriteString(" BUT NOT NULL")
			}
		case out.IsNull(i):
			b.WriteString("null")
		default:
			b.Write(write(nil, i))
		}
	}
	return b.String()
}
