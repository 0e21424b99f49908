package manifest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
)

// foreign writes entries again as another writer might: fields in another order, unions the other way
// round, another codec, blocks of some entries, and with strangers fields that nobody knows.
func foreign(t *testing.T, rng *rand.Rand, raw []byte, strangers bool) []byte {
	in, err := ocf.NewReader(bytes.NewReader(raw))
	require.NoError(t, err)
	root := in.Schema().Root()
	flipped := rng.IntN(2) == 0
	disturb(rng, root, flipped, strangers)
	schema, err := root.Schema()
	require.NoError(t, err)
	header := map[string][]byte{}
	for key, value := range in.Metadata() {
		if !bytes.HasPrefix([]byte(key), []byte("avro.")) {
			header[key] = value
		}
	}
	codec := []ocf.Codec{nil, ocf.DeflateCodec(-1), ocf.SnappyCodec(), ocf.MustZstdCodec(nil, nil)}[rng.IntN(4)]
	var out bytes.Buffer
	w, err := ocf.NewWriter(&out, schema, ocf.WithSchema(schema.String()), ocf.WithMetadata(header), ocf.WithCodec(codec), ocf.WithBlockCount(1+rng.IntN(9)))
	require.NoError(t, err)
	for {
		var entry map[string]any
		if err := in.Decode(&entry); err != nil {
			break
		}
		strange(rng, entry, root)
		require.NoError(t, w.Encode(entry))
		if rng.IntN(8) == 0 {
			require.NoError(t, w.Flush())
		}
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// disturb changes a schema as another writer's may differ.
func disturb(rng *rand.Rand, of *avro.SchemaNode, flip, strangers bool) {
	switch of.Type {
	case "record":
		for i := range of.Fields {
			if of.Fields[i].Name != "partition" {
				disturb(rng, &of.Fields[i].Type, flip, strangers)
			}
			of.Fields[i].HasDefault = false
		}
		if strangers && of.Name != "manifest_entry" {
			of.Fields = append(of.Fields, avro.SchemaField{Name: "strange", Type: strangeType(rng, of.Name)})
		}
		rng.Shuffle(len(of.Fields), func(i, j int) { of.Fields[i], of.Fields[j] = of.Fields[j], of.Fields[i] })
	case "union":
		if flip && len(of.Branches) == 2 {
			of.Branches[0], of.Branches[1] = of.Branches[1], of.Branches[0]
		}
		for i := range of.Branches {
			disturb(rng, &of.Branches[i], flip, strangers)
		}
	case "array":
		disturb(rng, of.Items, flip, strangers)
	}
}

func strangeType(rng *rand.Rand, in string) avro.SchemaNode {
	text := avro.SchemaNode{Type: "string"}
	switch rng.IntN(6) {
	case 0:
		return avro.SchemaNode{Type: "map", Values: &avro.SchemaNode{Type: "double"}}
	case 1:
		return avro.SchemaNode{Type: "fixed", Name: "strange_" + in, Size: 3}
	case 2:
		return avro.SchemaNode{Type: "enum", Name: "kinds_" + in, Symbols: []string{"a", "b"}}
	case 3:
		return avro.SchemaNode{Type: "array", Items: &text}
	case 4:
		return avro.SchemaNode{Type: "union", Branches: []avro.SchemaNode{{Type: "boolean"}, {Type: "null"}, {Type: "float"}}}
	}
	return text
}

// strange fills in the fields that nobody knows.
func strange(rng *rand.Rand, value any, of *avro.SchemaNode) {
	switch v := value.(type) {
	case map[string]any:
		for i := range of.Fields {
			f := &of.Fields[i]
			if f.Name != "strange" {
				strange(rng, v[f.Name], &f.Type)
				continue
			}
			v["strange"] = map[string]any{"map": map[string]any{"x": 1.5, "y": 2.5}, "fixed": []byte("abc"), "enum": "b",
				"array": []any{"some", "more"}, "union": []any{true, nil, float32(2)}[rng.IntN(3)], "string": "a text"}[f.Type.Type]
		}
	case []any:
		for _, item := range v {
			for of.Type == "union" {
				of = some(of)
			}
			strange(rng, item, of.Items)
		}
	}
}

func some(of *avro.SchemaNode) *avro.SchemaNode {
	for i := range of.Branches {
		if of.Branches[i].Type != "null" {
			return &of.Branches[i]
		}
	}
	panic(fmt.Sprint("a union of nothing: ", of.Branches))
}

// renumbered is a manifest as a list describes it that gives it other row ids.
type renumbered struct {
	iceberg.ManifestFile
	first *int64
}

func (r renumbered) FirstRowID() *int64 { return r.first }
