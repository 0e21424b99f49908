package planning

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/datafile"
)

// pieceFiles is how many files of a manifest are looked at at once where what manifests say is not kept. Their descriptions, with
// all statistics, take some kilobytes each.
const pieceFiles = 1024

// pieces reads a manifest for who wants its files' descriptions whole: some files at a time, of which do keeps what it wants, so
// that memory follows the files that are left and not the table.
func (p *planner) pieces(ctx context.Context, m iceberg.ManifestFile, do func(*manifest) error) error {
	raw, err := p.read(m.FilePath())
	if err == nil {
		_, err = protected(func() (struct{}, error) { return struct{}{}, decodePieces(ctx, m, raw, do) })
	}
	if err != nil {
		return fmt.Errorf("manifest %s: %w", m.FilePath(), err)
	}
	return nil
}

func decodePieces(ctx context.Context, m iceberg.ManifestFile, raw []byte, do func(*manifest) error) error {
	r, err := iceberg.NewManifestReader(m, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	isData := m.ManifestContent() == iceberg.ManifestContentData
	empty := func() *manifest {
		return &manifest{spec: m.PartitionSpecID(), columns: map[int]*column{}, known: map[knownKey]*datafile.Bounds{}}
	}
	piece := empty()
	for {
		entry, err := r.ReadEntry()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, r.Close())
		}
		if entry.Status() == iceberg.EntryStatusDELETED {
			continue
		}
		df := entry.DataFile()
		if isData {
			piece.note(df)
		}
		piece.files = append(piece.files, file{df, df.Partition(), entry.SequenceNum()})
		if len(piece.files) < pieceFiles {
			continue
		}
		if err := errors.Join(ctx.Err(), piece.done(do)); err != nil {
			return errors.Join(err, r.Close())
		}
		piece = empty()
	}
	return errors.Join(piece.done(do), r.Close())
}

func (m *manifest) done(do func(*manifest) error) error {
	for _, c := range m.columns {
		c.extend(len(m.files))
	}
	if len(m.files) == 0 {
		return nil
	}
	return do(m)
}
