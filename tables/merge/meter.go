package merge

import (
	"sync/atomic"

	iceio "github.com/apache/iceberg-go/io"
)

// meter is a store that counts the bytes that are read from it.
type meter struct {
	iceio.IO
	read *atomic.Int64
}

// metered counts what is read from a store. One that can be written to still can.
func metered(store iceio.IO, read *atomic.Int64) iceio.IO {
	m := meter{store, read}
	if w, ok := store.(iceio.WriteFileIO); ok {
		return writableMeter{WriteFileIO: w, meter: m}
	}
	return m
}

func (m meter) Open(name string) (iceio.File, error) {
	f, err := m.IO.Open(name)
	if err != nil {
		return nil, err
	}
	return &meteredFile{f, m.read}, nil
}

type writableMeter struct {
	iceio.WriteFileIO
	meter meter
}

func (m writableMeter) Open(name string) (iceio.File, error) { return m.meter.Open(name) }

type meteredFile struct {
	iceio.File
	read *atomic.Int64
}

func (f *meteredFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.read.Add(int64(n))
	return n, err
}

func (f *meteredFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	f.read.Add(int64(n))
	return n, err
}
