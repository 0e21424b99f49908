package datafile

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// asPacked gives a column's texts packed, as new references, where all are UUIDs and are to be encoded as such; nil else.
func (l *layout) asPacked(f arrow.Field, chunks []arrow.Array) []arrow.Array {
	_, blooms := l.bloom[f.Name]
	if l.codec != compress.Codecs.Zstd || l.pageVersion != parquet.DataPageV1 || l.storeSchema || blooms || !mayBePacked(chunks) || l.wantsDictionary(f.Name, chunks) {
		return nil
	}
	out := make([]arrow.Array, 0, len(chunks))
	for _, a := range chunks {
		if isPacked(a) {
			a.Retain()
		} else if a = packed(a); a == nil {
			releaseAll(out)
			return nil
		}
		out = append(out, a)
	}
	return out
}

// mayBePacked says that chunks are packed texts or texts of which the first is a UUID, and that none is null.
func mayBePacked(chunks []arrow.Array) bool {
	return !slices.ContainsFunc(chunks, func(a arrow.Array) bool {
		switch a.(type) {
		case *array.String, *array.Binary:
			offsets, data := rows.TextOf(a)
			if a.Len() > 0 && (offsets[1]-offsets[0] != unpackedText || !pack(make([]byte, packedBytes), data[offsets[0]:offsets[1]])) {
				return true
			}
		default:
			if !isPacked(a) {
				return true
			}
		}
		return a.NullN() > 0
	})
}

// uuids encodes packed texts, of which none is null, by frames made for them; and by way of zstd where it makes less of the first
// page, since there is more to find out in texts that are alike.
func (w *chunkWriter) uuids(chunks []arrow.Array, kind arrow.DataType, pageBytes int64) error {
	s := w.scratch
	ids := s.packed[:0]
	for _, a := range chunks {
		ids = append(ids, packedValues(a)[:packedBytes*a.Len()]...)
	}
	s.packed = ids
	size := packedBytes * int(max(1, (min(pageBytes, maxFrame)-1)/plainUUID+1))
	var all textBounds
	for first := true; len(ids) > 0; first = false {
		own := ids[:min(len(ids), size)]
		ids = ids[len(own):]
		n := len(own) / packedBytes
		levels := w.levels(make([]byte, 0, levelRoom), nil, 0, n)
		s.framed = appendUUIDFrame(s.framed[:0], levels, own)
		if first && len(w.compress(s.plainUUIDs(levels, own))) < len(s.framed) {
			texts := make([]arrow.Array, len(chunks))
			defer releaseAll(texts)
			for i, a := range chunks {
				texts[i] = unpacked(a, kind)
			}
			return w.texts(texts, pageBytes)
		}
		var bounds textBounds
		for at := 0; at < len(own); at += packedBytes {
			bounds.add(own[at : at+packedBytes])
		}
		all.add(bounds.least)
		all.add(bounds.most)
		least, most := bounds.unpacked()
		if err := w.lay(s.framed, len(levels)+n*plainUUID, n, 0, least, most); err != nil {
			return err
		}
	}
	return w.finish(all.unpacked())
}

// plainUUIDs is a page as it is before compression.
func (s *chunkScratch) plainUUIDs(levels, ids []byte) []byte {
	s.texts = append(s.texts[:0], levels...)
	for at := 0; at < len(ids); at += packedBytes {
		s.texts = appendPlainUUID(s.texts, ids[at:])
	}
	return s.texts
}

// unpacked are the bounds of packed texts, which are in the order of these, for statistics.
func (b *textBounds) unpacked() (least, most []byte) {
	least, most = make([]byte, unpackedText), make([]byte, unpackedText)
	unpack36(least, b.least)
	unpack36(most, b.most)
	return least, most
}
