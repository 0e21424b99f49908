package commit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/twmb/avro/ocf"
)

// mendSummaries sets right what iceberg-go writes into manifest lists: of a manifest whose least partition value of some
// field is the empty string, the list says that there is no lower bound (it marshals "" to a nil slice). Every reader takes
// that for a manifest without values of the field, and a filtered scan leaves out its data files or, worse, its deletes.
//
// And it gives a manifest that takes the place of another the row ids of that one, in tables that have row ids: firstRowIDs
// says which, by path. Its files have theirs written beside them, and new ones would be ids that no row has.
//
// The lists are not written yet.
func mendSummaries(meta table.Metadata, written *recorder, firstRowIDs map[string]int64) error {
	for name, content := range written.manifestLists() {
		mended, err := mendList(meta, content, firstRowIDs)
		if err != nil {
			return fmt.Errorf("manifest list %s: %w", name, err)
		}
		written.setList(name, mended)
	}
	return nil
}

func mendList(meta table.Metadata, content []byte, firstRowIDs map[string]int64) ([]byte, error) {
	in, err := ocf.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	var manifests []map[string]any
	mended := 0
	for {
		var m map[string]any
		if err := in.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		id, _ := m["partition_spec_id"].(int32)
		summaries, _ := m["partitions"].([]any)
		mended += mendFields(summaries, emptiable(meta, int(id)))
		if name, _ := m["manifest_path"].(string); name != "" {
			if first, ok := firstRowIDs[name]; ok {
				m["first_row_id"] = first
				mended++
			}
		}
		manifests = append(manifests, m)
	}
	if mended == 0 {
		return content, nil
	}
	header := maps.Clone(in.Metadata())
	maps.DeleteFunc(header, func(key string, _ []byte) bool { return strings.HasPrefix(key, "avro.") })
	var out bytes.Buffer
	w, err := ocf.NewWriter(&out, in.Schema(), ocf.WithSchema(string(in.Metadata()["avro.schema"])), ocf.WithMetadata(header), ocf.WithCodec(ocf.DeflateCodec(-1)))
	if err != nil {
		return nil, err
	}
	for _, m := range manifests {
		if err := w.Encode(m); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// mendFields gives fields whose values may be empty an empty bound where there is none. One that has only nulls gets it
// too, which costs nothing but a manifest that is opened in vain.
func mendFields(summaries []any, emptiable []bool) (mended int) {
	if len(summaries) != len(emptiable) {
		return 0
	}
	for i, s := range summaries {
		field, ok := s.(map[string]any)
		if !ok || !emptiable[i] {
			continue
		}
		for _, bound := range []string{"lower_bound", "upper_bound"} {
			if field[bound] == nil {
				field[bound] = []byte{}
				mended++
			}
		}
	}
	return mended
}

// emptiable tells of each field of a partition spec whether its values may be empty: those of strings and binaries are.
func emptiable(meta table.Metadata, id int) []bool {
	spec := meta.PartitionSpecByID(id)
	if spec == nil {
		return nil
	}
	out := make([]bool, spec.NumFields())
	for i := range out {
		f := spec.Field(i)
		switch f.Transform.(type) {
		case iceberg.IdentityTransform, iceberg.TruncateTransform:
			out[i] = isText(meta, f.SourceID())
		}
	}
	return out
}

func isText(meta table.Metadata, column int) bool {
	for _, s := range meta.Schemas() { // the column may have been dropped since
		if f, ok := s.FindFieldByID(column); ok {
			switch f.Type.(type) {
			case iceberg.StringType, iceberg.BinaryType:
				return true
			}
		}
	}
	return false
}
