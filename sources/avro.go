package sources

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/sources/avro"
)

// avroReader makes batches of an Avro file's records.
type avroReader struct {
	in       *input
	file     *avro.Reader
	decoder  *avro.Decoder
	columns  *columnar
	builders []array.Builder // of the wanted columns
	left     int64           // records of the current block
}

// openAvro reads the header: the columns as they are decoded, and as what they mean.
func openAvro(in *input) (file *avro.Reader, decoded, meant []arrow.Field, err error) {
	defer guard(in, &err)
	r, err := in.plain()
	if err != nil {
		return nil, nil, nil, err
	}
	if file, err = avro.NewReader(r); err != nil {
		return nil, nil, nil, in.broken("is not a sound Avro file", err)
	}
	in.closers = append(in.closers, file.Close)
	if decoded, meant, err = file.Schema().Columns(); err != nil {
		return nil, nil, nil, &SchemaError{File: in.file.URI, Reason: err.Error()}
	}
	return file, decoded, meant, nil
}

func newAvroReader(in *input, l *layout, opts Options, observer Observer, tell func([]arrow.Field)) (batches, error) {
	file, decoded, meant, err := openAvro(in)
	if err != nil {
		return nil, err
	}
	columns, err := newColumnar(in, l, decoded, opts, observer, tellFields(l, meant, tell))
	if err != nil {
		return nil, err
	}
	a := &avroReader{in: in, file: file, columns: columns}
	builders := make([]array.Builder, len(decoded))
	for _, i := range columns.wanted {
		builders[i] = array.NewBuilder(l.mem, decoded[i].Type)
		a.builders = append(a.builders, builders[i])
	}
	a.decoder = avro.NewDecoder(file.Schema(), builders)
	return a, nil
}

func (a *avroReader) close() {
	for _, b := range a.builders {
		b.Release()
	}
	a.columns.layout.close()
}

func (a *avroReader) next() (arrow.RecordBatch, error) {
	n, size := 0, 0
	for n < maxRows && size < maxBytes {
		if a.left == 0 {
			if err := a.block(); err == io.EOF {
				break
			} else if err != nil {
				return nil, a.in.broken("is damaged", err)
			}
			continue
		}
		bytes, err := a.decoder.Next()
		if err != nil {
			return nil, a.in.broken("is damaged", err)
		}
		size += bytes + 8*len(a.builders)
		n++
		if a.left--; a.left == 0 {
			if err := a.decoder.End(); err != nil {
				return nil, a.in.broken("is damaged", err)
			}
		}
	}
	if n == 0 {
		return nil, io.EOF
	}
	columns := make([]arrow.Array, len(a.builders))
	for i, b := range a.builders {
		columns[i] = b.NewArray()
		defer columns[i].Release()
	}
	return a.columns.batch(columns, n)
}

// block moves to the next block.
func (a *avroReader) block() error {
	count, data, err := a.file.Block()
	if err != nil {
		return err
	}
	a.decoder.Start(data)
	a.left = count
	if count == 0 {
		return a.decoder.End()
	}
	return nil
}
