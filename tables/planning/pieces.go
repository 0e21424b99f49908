package planning

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/manifest"
)

// pieceFiles is how many files of a manifest are looked at at once, at the least, where what manifests say is not kept. Their
// descriptions, with all statistics, take some kilobytes each.
const pieceFiles = 1024

// maxKept is the length of a manifest, in bytes, above which it is not kept: it would take more than a cache gives one value, being
// twice the target size of manifests.
const maxKept = 16 << 20

// pieces reads a manifest for who wants its files' descriptions whole, or one that is not kept: some files at a time, of which do keeps
// what it wants, so that memory follows the files that are left and not the table.
func (p *planner) pieces(ctx context.Context, m iceberg.ManifestFile, do func(*listed) error) error {
	raw, err := p.read(m.FilePath())
	if err == nil {
		err = p.piecesOf(ctx, m, raw, do)
	}
	if err != nil {
		return fmt.Errorf("manifest %s: %w", m.FilePath(), err)
	}
	return nil
}

// piecesOf takes a manifest as bytes.
func (p *planner) piecesOf(ctx context.Context, m iceberg.ManifestFile, raw []byte, do func(*listed) error) error {
	_, err := protected(func() (struct{}, error) {
		return struct{}{}, manifest.Pieces(ctx, m, raw, options(m, p.opts.Described), pieceFiles, func(some *manifest.Entries) error {
			return do(newListed(m, some))
		})
	})
	return err
}
