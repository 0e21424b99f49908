package sources

import (
	"bytes"
	"context"
	"unicode/utf8"

	"github.com/varve-lake/varve/sources/jsontext"
	"github.com/varve-lake/varve/sources/lines"
	"github.com/varve-lake/varve/sources/sniff"
)

// sample looks at the first rows of a CSV or NDJSON file. Malformed ones say nothing of a type.
func sample(ctx context.Context, store Store, file File, opts Options) (fields *sniff.Fields, err error) {
	in, err := openFile(ctx, store, file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	defer guard(in, &err)
	if opts.Format == NDJSON {
		return sampleNDJSON(ctx, in, opts)
	}
	return sampleCSV(ctx, in, opts)
}

// declaredNames name the columns of a CSV file that has no header.
func declaredNames(opts Options) (names []string) {
	if opts.Declared != nil {
		for _, f := range opts.Declared.Fields() {
			names = append(names, f.Name)
		}
	}
	return names
}

func headerOf(ctx context.Context, store Store, file File, opts Options) ([]string, error) {
	in, err := openFile(ctx, store, file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	c, err := openCSV(in, opts, declaredNames(opts))
	if err != nil {
		return nil, err
	}
	return c.names, nil
}

func sampleCSV(ctx context.Context, in *input, opts Options) (*sniff.Fields, error) {
	c, err := openCSV(in, opts, declaredNames(opts))
	if err != nil {
		return nil, err
	}
	fields := &sniff.Fields{}
	columns := make([]*sniff.Column, len(c.names))
	for i, name := range c.names {
		columns[i] = fields.Get(name)
	}
	nulls := newNulls(opts.NullValues)
	s := c.scanner
	for row := 0; row < opts.SampleRows && c.names != nil; row++ {
		if c.pending {
			c.pending = false
		} else if !s.Next() {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if s.Fault() != nil || len(s.Fields()) != len(columns) {
			continue
		}
		for i, f := range s.Fields() {
			if !nulls.has(f) && utf8.Valid(f) {
				columns[i].Text(f)
			}
		}
	}
	if err := s.Err(); err != nil {
		return nil, in.broken("read", err)
	}
	return fields, nil
}

func sampleNDJSON(ctx context.Context, in *input, opts Options) (*sniff.Fields, error) {
	r, err := in.text()
	if err != nil {
		return nil, err
	}
	fields := &sniff.Fields{}
	s := lines.NewScanner(r, opts.MaxRowSize)
	var p jsontext.Parser
	for row := 0; row < opts.SampleRows && s.Next(); row++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		line := bytes.TrimSpace(s.Bytes())
		if len(line) == 0 || s.TooLong() || !utf8.Valid(line) {
			continue
		}
		if line[0] == '[' && row == 0 {
			return nil, &BrokenFileError{File: in.file.URI, Reason: "begins with an array: ndjson has one object a line"}
		}
		one := &sniff.Fields{}
		p.Reset(line)
		if k, err := p.Peek(); err != nil || k != jsontext.Object || one.JSON(&p) != nil || p.End() != nil {
			continue
		}
		fields.Merge(one)
		if len(fields.Names) > MaxColumns {
			break
		}
	}
	if err := s.Err(); err != nil {
		return nil, in.broken("read", err)
	}
	return named(fields, in.file)
}

// named leaves a field without a name out, for which a table has no place, and refuses reserved names.
func named(fields *sniff.Fields, file File) (*sniff.Fields, error) {
	kept := &sniff.Fields{}
	for i, name := range fields.Names {
		if reserved[name] {
			return nil, checkNames(file, []string{name})
		}
		if name != "" {
			kept.Get(name).Merge(fields.Columns[i])
		}
	}
	return kept, nil
}
