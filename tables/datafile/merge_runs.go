package datafile

import (
	"bytes"
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// fewerRuns merges runs into longer ones until memory has room for a batch of each.
func (w *Writer) fewerRuns(runs []spilledRun) ([]spilledRun, error) {
	for {
		var longer []spilledRun
		for rest := runs; len(rest) > 0; {
			n := w.mergeable(rest)
			if n == len(runs) {
				return runs, nil
			}
			run := rest[0]
			if n > 1 {
				var err error
				if run, err = w.newRun(func(write func(arrow.RecordBatch) error) error {
					return w.mergeRuns(rest[:n], func(rows arrow.RecordBatch) error { return w.eachPart(rows, write) })
				}); err != nil {
					return nil, fmt.Errorf("merge spilled rows: %w", err)
				}
			}
			longer, rest = append(longer, run), rest[n:]
		}
		runs = longer
	}
}

// mergeable is how many of the first runs can be merged at once: two, whatever they take.
func (w *Writer) mergeable(runs []spilledRun) int {
	taken := int64(0)
	for i, run := range runs {
		if taken += run.batch; i >= 2 && taken > w.layout.memoryLimit/mergeShare {
			return i
		}
	}
	return len(runs)
}

// mergeRuns merges sorted runs.
func (w *Writer) mergeRuns(runs []spilledRun, each func(arrow.RecordBatch) error) error {
	var readers []array.RecordReader
	defer func() {
		for _, r := range readers {
			r.Release()
		}
	}()
	for _, run := range runs {
		r, err := w.openRun(run)
		if err != nil {
			return err
		}
		readers = append(readers, r)
	}
	return w.sort.merge(w.ctx, readers, each)
}

// mergeInput is one sorted run being merged: its batch at hand, and from where on it is not merged yet.
type mergeInput struct {
	reader array.RecordReader
	batch  arrow.RecordBatch
	keys   sortKeys
	at     int
}

func (in *mergeInput) next(s *sorter) (bool, error) {
	if in.batch != nil && in.at < int(in.batch.NumRows()) {
		return true, nil
	}
	for in.reader.Next() {
		if in.batch = in.reader.RecordBatch(); in.batch.NumRows() > 0 {
			in.keys, in.at = s.keys(in.batch), 0
			return true, nil
		}
	}
	in.batch = nil
	if err := in.reader.Err(); err != nil {
		return false, fmt.Errorf("read spilled rows: %w", err)
	}
	return false, nil
}

// merge merges sorted runs. It goes by blocks: of the batches at hand the one that ends first says up to which key all of them
// may be given out; these rows are sorted together. So rows move by batches, and each step uses up a batch.
func (s *sorter) merge(ctx context.Context, runs []array.RecordReader, each func(arrow.RecordBatch) error) error {
	var inputs []*mergeInput
	for _, r := range runs {
		inputs = append(inputs, &mergeInput{reader: r})
	}
	for {
		var cut []byte
		live := inputs[:0]
		for _, in := range inputs {
			ok, err := in.next(s)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			live = append(live, in)
			if last := in.keys.at(int(in.batch.NumRows()) - 1); cut == nil || bytes.Compare(last, cut) < 0 {
				cut = last
			}
		}
		if inputs = live; len(inputs) == 0 {
			return nil
		}
		if err := s.mergeBlock(ctx, inputs, cut, each); err != nil {
			return err
		}
	}
}

// mergeBlock gives out the inputs' rows up to a key.
func (s *sorter) mergeBlock(ctx context.Context, inputs []*mergeInput, cut []byte, each func(arrow.RecordBatch) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	var parts []arrow.RecordBatch
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	for _, in := range inputs {
		end := in.at
		for end < int(in.batch.NumRows()) && bytes.Compare(in.keys.at(end), cut) <= 0 {
			end++
		}
		if end > in.at {
			parts = append(parts, in.batch.NewSlice(int64(in.at), int64(end)))
			in.at = end
		}
	}
	block, err := concatBatches(parts)
	if err != nil {
		return err
	}
	defer block.Release()
	order := s.keys(block).order()
	if order == nil {
		return each(block)
	}
	sorted, err := gatherBatch(ctx, block, order)
	if err != nil {
		return err
	}
	defer sorted.Release()
	return each(sorted)
}
