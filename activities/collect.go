package activities

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/transforms"
)

const (
	collectRows  = 8192    // rejected rows in one staged file
	collectBytes = 8 << 20 // of them, roughly
	maxRowText   = 64 << 10
	maxWarnings  = 20
)

// collector counts what becomes of rows, and stages those that are rejected. It belongs to one reading, and is called
// from the goroutine that reads.
type collector struct {
	policy string // for faults of the data: fail | drop | quarantine
	at     time.Time
	save   func(name string, rows array.RecordReader) (rowsFile, error)

	counts   wire.Counts
	warnings []string
	builder  *array.RecordBuilder
	size     int
	files    []rowsFile
}

func newCollector(j *job, save func(string, array.RecordReader) (rowsFile, error)) *collector {
	return &collector{policy: j.Table.Malformed, at: j.Build.LoadedAt, save: save}
}

// reject deals with a row that was taken out of the stream. An expectation says by itself what becomes of the row; a
// fault of the data goes by the table's policy.
func (c *collector) reject(r transforms.Rejected) error {
	policy := c.policy
	if r.Expectation != "" {
		policy = sources.Quarantine
	}
	switch policy {
	case sources.Drop:
		c.counts.Dropped++
		return nil
	case sources.Quarantine:
		c.counts.Quarantined++
		return c.quarantine(r)
	}
	return &rejected{row: r}
}

func (c *collector) warned(expectation string, rows int64) {
	if c.counts.Warned == nil {
		c.counts.Warned = make(map[string]int64)
	}
	c.counts.Warned[expectation] += rows
}

func (c *collector) warn(text string) {
	if len(c.warnings) < maxWarnings {
		c.warnings = append(c.warnings, text)
	}
}

func (c *collector) observer() transforms.Observer {
	return transforms.Observer{Reject: c.reject, Warn: c.warned}
}

// quarantine keeps a row for the quarantine table.
func (c *collector) quarantine(r transforms.Rejected) error {
	if c.builder == nil {
		schema, err := compile.Schema(plan.QuarantineColumns)
		if err != nil {
			return err
		}
		c.builder = array.NewRecordBuilder(memory.DefaultAllocator, schema)
	}
	row := clip(r.Row, maxRowText)
	reason := r.Reason
	if reason == "" {
		reason = fmt.Sprintf("expectation %q", r.Expectation)
	}
	text := func(i int, s string) {
		b := c.builder.Field(i).(*array.StringBuilder)
		if s == "" {
			b.AppendNull()
			return
		}
		b.Append(s)
	}
	text(0, keyOf(r, reason))
	text(1, r.SourceFile)
	if number := c.builder.Field(2).(*array.Int64Builder); r.SourceRow > 0 {
		number.Append(r.SourceRow)
	} else {
		number.AppendNull()
	}
	text(3, r.Column)
	text(4, reason)
	text(5, row)
	c.builder.Field(6).(*array.TimestampBuilder).Append(arrow.Timestamp(c.at.UnixMicro()))
	if c.size += len(row) + 200; c.size > collectBytes || c.builder.Field(0).Len() >= collectRows {
		return c.flush()
	}
	return nil
}

// keyOf identifies a rejected row, so that one that is rejected again, by another attempt or another run, is the same. A
// row that comes from a file is told by its place there: its text also has the time of loading, which is another each
// time.
func keyOf(r transforms.Rejected, reason string) string {
	sum := sha256.New()
	if r.SourceFile != "" {
		fmt.Fprintf(sum, "%s\x00%d\x00%s\x00%s", r.SourceFile, r.SourceRow, r.Column, reason)
	} else {
		fmt.Fprintf(sum, "%s\x00%s\x00%s", r.Row, r.Column, reason)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// flush stages what was rejected so far.
func (c *collector) flush() error {
	if c.builder == nil || c.builder.Field(0).Len() == 0 {
		return nil
	}
	batch := c.builder.NewRecordBatch()
	defer batch.Release()
	c.size = 0
	rows, err := array.NewRecordReader(batch.Schema(), []arrow.RecordBatch{batch})
	if err != nil {
		return err
	}
	file, err := c.save(fmt.Sprintf("rejected-%d", len(c.files)), rows)
	if err != nil {
		return fmt.Errorf("stage rejected rows: %w", err)
	}
	c.files = append(c.files, file)
	return nil
}

// release frees what was not flushed.
func (c *collector) release() {
	if c.builder != nil {
		c.builder.Release()
		c.builder = nil
	}
}

// took adds what a chain counted. What it rejected, the collector has counted itself.
func (c *collector) took(n transforms.Counts) {
	c.counts.Filtered += n.Filtered
	c.counts.Dropped += n.Dropped
}
