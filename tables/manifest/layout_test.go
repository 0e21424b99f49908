package manifest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/varve-lake/varve/tables/manifest"
)

// entrySchema is one of a manifest whose names lie in namespaces, and of which a type is told by the name alone that it has in its
// own; paths are of a type, and files have more fields.
func entrySchema(path, more string) string {
	return fmt.Sprintf(`{"type":"record","name":"org.x.manifest_entry","fields":[{"name":"status","type":"int"},{"name":"snapshot_id","type":["null","long"]},
		{"name":"sequence_number","type":["null","long"]},{"name":"file_sequence_number","type":["null","long"]},
		{"name":"data_file","type":{"type":"record","name":"file","namespace":"org.y","fields":[{"name":"content","type":"int"},
		{"name":"file_path","type":%s},{"name":"file_format","type":"string"},{"name":"partition","type":{"type":"record","name":"tuple","fields":[
		{"name":"a","type":["null",{"type":"fixed","name":"pair","size":2}],"field-id":1000},{"name":"b","type":["null","pair"],"field-id":1001}]}},
		{"name":"record_count","type":"long"},{"name":"file_size_in_bytes","type":"long"}%s]}}]}`, path, more)
}

// container is a manifest with one entry.
func container(t *testing.T, schema string, entry map[string]any) []byte {
	parsed, err := avro.Parse(schema)
	require.NoError(t, err)
	var out bytes.Buffer
	header := map[string][]byte{"format-version": []byte("2"), "content": []byte("data"), "partition-spec-id": []byte("0"), "partition-spec": []byte("[]"), "schema": []byte("{}")}
	w, err := ocf.NewWriter(&out, parsed, ocf.WithSchema(schema), ocf.WithMetadata(header))
	require.NoError(t, err)
	require.NoError(t, w.Encode(entry))
	require.NoError(t, w.Close())
	return out.Bytes()
}

func oneEntry(more map[string]any) map[string]any {
	file := map[string]any{"content": 0, "file_path": "s3://b/x.parquet", "file_format": "PARQUET", "partition": map[string]any{"a": []byte("ab"), "b": []byte("cd")},
		"record_count": 7, "file_size_in_bytes": 70}
	for key, value := range more {
		file[key] = value
	}
	return map[string]any{"status": 1, "snapshot_id": nil, "sequence_number": nil, "file_sequence_number": nil, "data_file": file}
}

var ofOneEntry = iceberg.NewManifestFile(2, "m.avro", 0, 0, 5).SequenceNum(3, 3).Build()

// Paths that may be null, which the specification does not have and the library reads, are read, and entries with them are copied.
func TestPathsThatMayBeNull(t *testing.T) {
	for _, of := range []string{`"string"`, `["null","string"]`, `["string","null"]`} {
		raw := container(t, entrySchema(of, ""), oneEntry(nil))
		entries, err := manifest.Read(ofOneEntry, raw, manifest.Options{})
		require.NoError(t, err)
		require.Equal(t, "s3://b/x.parquet", string(entries.Path(0)), of)
		entry, err := entries.Entry(0)
		require.NoError(t, err)
		require.Equal(t, "s3://b/x.parquet", entry.DataFile().FilePath())
		require.Equal(t, "\x02ab\x02cd", string(entries.Partition(0)))
		first := int64(9)
		of3 := renumbered{iceberg.NewManifestFile(3, "m.avro", 0, 0, 5).SequenceNum(3, 3).Build(), &first}
		entries, err = manifest.Read(of3, raw, manifest.Options{Bare: true})
		require.NoError(t, err)
		entry, err = entries.Entry(0)
		require.NoError(t, err)
		require.EqualValues(t, 9, *entry.DataFile().FirstRowID())
		require.Len(t, entry.DataFile().Partition(), 2)
		var out bytes.Buffer
		_, err = manifest.Without(context.Background(), &out, ofOneEntry, raw, 2, func(*manifest.Entries, int) (bool, error) { return false, nil })
		require.NoError(t, err)
		copied, err := iceberg.ReadManifest(ofOneEntry, &out, false)
		require.NoError(t, err)
		require.Equal(t, []int64{int64(iceberg.EntryStatusEXISTING), 5, 3, 3}, []int64{int64(copied[0].Status()), copied[0].SnapshotID(), copied[0].SequenceNum(), *copied[0].FileSequenceNum()})
	}
	_, err := manifest.Read(ofOneEntry, container(t, entrySchema(`["null","string","int"]`, ""), oneEntry(nil)), manifest.Options{})
	require.ErrorContains(t, err, "file_path")
}

// Row ids that every file has are not inherited.
func TestRowIDsThatMayNotBeNull(t *testing.T) {
	first := int64(1000)
	of := renumbered{iceberg.NewManifestFile(3, "m.avro", 0, 0, 5).SequenceNum(3, 3).Build(), &first}
	raw := container(t, entrySchema(`"string"`, `,{"name":"first_row_id","type":"long"}`), oneEntry(map[string]any{"first_row_id": 40}))
	entries, err := manifest.Read(of, raw, manifest.Options{})
	require.NoError(t, err)
	entry, err := entries.Entry(0)
	require.NoError(t, err)
	require.EqualValues(t, 40, *entry.DataFile().FirstRowID())
}

// An error of who is given the pieces is one of the reading too if it is io.EOF, as that of a connection is which a store has closed;
// and so is that of a header without a schema.
func TestPiecesTellsTheEndFromAnError(t *testing.T) {
	raw := container(t, entrySchema(`"string"`, ""), oneEntry(nil))
	closed := fmt.Errorf("put https://store/m.avro: %w", io.EOF)
	err := manifest.Pieces(context.Background(), ofOneEntry, raw, manifest.Options{}, 1, func(*manifest.Entries) error { return closed })
	require.ErrorIs(t, err, closed)
	bare := []byte("Obj\x01\x00" + strings.Repeat("s", 16))
	err = manifest.Pieces(context.Background(), ofOneEntry, bare, manifest.Options{}, 1, func(*manifest.Entries) error { return errors.New("there is none") })
	require.Error(t, err)
	require.NotContains(t, err.Error(), "there is none")
}

// An array of what takes no bytes is passed over at once, however many items it is said to have, and however often.
func TestItemsWithoutBytes(t *testing.T) {
	many := append(bytes.Repeat([]byte{0x80, 0x80, 0x80, 0x02}, 500_000), 0) // each says that there are 2M of them
	filler := make([]byte, 3<<20)
	as := func(strange string) string {
		return entrySchema(`"string"`, `,{"name":"strange","type":`+strange+`},{"name":"filler","type":"bytes"}`)
	}
	parsed, err := avro.Parse(as(fmt.Sprintf(`{"type":"fixed","name":"z","size":%d}`, len(many))))
	require.NoError(t, err)
	entry, err := parsed.Encode(oneEntry(map[string]any{"strange": many, "filler": filler}))
	require.NoError(t, err)
	raw := container(t, as(`{"type":"array","items":"null"}`), oneEntry(map[string]any{"strange": []any{}, "filler": []byte{}}))
	header, sync := bytes.TrimSuffix(raw, raw[len(raw)-16:]), raw[len(raw)-16:]
	header = header[:bytes.Index(header, sync)+16]
	block := append(binary.AppendVarint([]byte{2}, int64(len(entry))), entry...)
	entries, err := manifest.Read(ofOneEntry, slices.Concat(header, block, sync), manifest.Options{})
	require.NoError(t, err)
	require.Equal(t, 1, entries.Len())
}
