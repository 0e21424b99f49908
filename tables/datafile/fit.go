package datafile

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
)

// faultyPages are writers whose pages need readers that know of their faults, which go by the footer's created_by; a carried
// page would lie under another one. PARQUET-246 and PARQUET-251 were mended before this version.
var faultyPages = metadata.NewAppVersionExplicit("parquet-mr", 1, 10, 0)

// match finds the columns whose bytes fit, and says whether it is worth while.
func (f *Carried) match() (bool, error) {
	groups := int64(len(f.footer.RowGroups))
	if groups == 0 || groups > math.MaxInt16 || f.starts[groups] != f.df.Count() {
		return false, nil
	}
	if !f.footer.IsSetColumnOrders() { // bounds of such a file mean nothing
		return false, nil
	}
	if f.footer.IsSetEncryptionAlgorithm() || f.footer.WriterVersion().LessThan(faultyPages) {
		return false, nil
	}
	total := int64(0)
	for _, rg := range f.footer.RowGroups {
		total += rg.TotalByteSize
	}
	l := f.carrier.layout
	if f.starts[groups] < groups*max(l.rowGroupRows/smallGroup, 1) && total < groups*l.rowGroupBytes/(2*smallGroup) {
		return false, nil
	}
	any := false
	own := leafRanges(f.footer)
	target, root := f.carrier.shape.Schema.Root(), f.footer.Schema.Root()
	f.columns = make([]leafRange, target.NumFields())
	for i := range f.columns {
		if at := root.FieldIndexByName(target.Field(i).Name()); at >= 0 && root.Field(at).Equals(target.Field(i)) {
			f.columns[i], any = own[at], true
		}
	}
	return any, nil
}

// RowGroups is the number of row groups in the file.
func (f *Carried) RowGroups() int { return len(f.starts) - 1 }

// Positions are those of a row group's rows: from first to before end.
func (f *Carried) Positions(group int) (first, end int64) { return f.starts[group], f.starts[group+1] }

// DecodedBytes estimates what a column of a row group takes in memory; a dictionary may hide more.
func (f *Carried) DecodedBytes(group, column int) (total int64) {
	rg, leaves := f.footer.RowGroups[group], f.columns[column]
	if leaves.to == 0 { // in another form
		return max(rg.TotalByteSize/int64(len(rg.Columns)), rg.NumRows*8)
	}
	for leaf := leaves.from; leaf < leaves.to; leaf++ {
		total += max(rg.Columns[leaf].MetaData.GetTotalUncompressedSize(), rg.NumRows*8)
	}
	return total
}

// StoredBytes is what a row group takes in the file.
func (f *Carried) StoredBytes(group int) int64 {
	total := int64(0)
	for _, c := range f.footer.RowGroups[group].Columns {
		total += max(c.MetaData.TotalCompressedSize, 0)
	}
	return total
}

// Fits says whether the bytes of a column (by index in the table's schema; with row lineage, its two columns follow) can be
// carried in a row group: what a manifest says of them is known then.
func (f *Carried) Fits(group, column int) bool {
	leaves := f.columns[column]
	for i := leaves.from; i < leaves.to; i++ {
		if !f.chunkFits(group, i) {
			return false
		}
	}
	return leaves.to > leaves.from
}

func (f *Carried) chunkFits(group, leaf int) bool {
	chunk, column := f.footer.RowGroups[group].Columns[leaf], f.footer.Schema.Column(leaf)
	m := chunk.MetaData
	if m == nil || chunk.FilePath != nil && *chunk.FilePath != "" || chunk.CryptoMetadata != nil || len(chunk.EncryptedColumnMetadata) > 0 || m.IndexPageOffset != nil {
		return false
	}
	if _, _, err := f.piece(group, leaf).extent(); err != nil {
		return false // the reader says what is wrong with it
	}
	if column.MaxRepetitionLevel() > 0 {
		return true // manifests say no more of it than how many values there are
	}
	if m.NumValues != f.footer.RowGroups[group].NumRows {
		return false
	}
	s := m.Statistics
	if s == nil || s.NullCount == nil {
		return false
	}
	id := int(column.SchemaNode().FieldID())
	if iceberg.IsMetadataColumn(id) {
		return *s.NullCount == 0 // nulls of these follow from the file's entry in the manifest, which changes
	}
	switch column.PhysicalType() {
	case parquet.Types.Float, parquet.Types.Double:
		// NaNs are counted in manifests, but not in footers; and some writers take them for bounds.
		nans, counted := f.df.NaNValueCounts()[id]
		if !counted || nans > 0 || !notNaN(s.MinValue) || !notNaN(s.MaxValue) {
			return false
		}
	case parquet.Types.ByteArray:
		return true // values may be too long for bounds
	}
	return s.MinValue != nil && s.MaxValue != nil || *s.NullCount == m.NumValues
}

// notNaN says whether a bound of floating-point numbers is a number.
func notNaN(bound []byte) bool {
	switch len(bound) {
	case 4:
		v := math.Float32frombits(binary.LittleEndian.Uint32(bound))
		return v == v
	case 8:
		v := math.Float64frombits(binary.LittleEndian.Uint64(bound))
		return v == v
	}
	return true
}

func (f *Carried) piece(group, leaf int) piece {
	return piece{from: f.source, size: f.end, meta: f.footer, group: group, leaf: leaf}
}
