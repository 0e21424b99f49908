package manifest

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/twmb/avro"
	"github.com/twmb/avro/atype"
)

// field is what is noted of an entry: where it stands.
type field int

const (
	status field = iota
	snapshotID
	sequenceNumber
	fileSequenceNumber
	content
	filePath
	partition
	recordCount
	firstRowID
	valueCounts
	nullCounts
	nanCounts
	lowerBounds
	upperBounds
	dataFileEnd // behind the record of the file
	fields
)

var entryFields = map[string]field{"status": status, "snapshot_id": snapshotID, "sequence_number": sequenceNumber, "file_sequence_number": fileSequenceNumber}

var dataFileFields = map[string]field{"content": content, "file_path": filePath, "partition": partition, "record_count": recordCount, "first_row_id": firstRowID,
	"value_counts": valueCounts, "null_value_counts": nullCounts, "nan_value_counts": nanCounts, "lower_bounds": lowerBounds, "upper_bounds": upperBounds}

// absent is the place of a field that an entry does not have.
const absent = math.MaxUint32

// node is an Avro type, as far as it is needed to pass over a value of it.
type node struct {
	kind     string
	size     int     // of a fixed
	parts    []*node // of a record, a union, an array or a map
	names    []string
	note     []field // of a record's fields; -1 for those that are not noted
	noteEnd  bool    // it is the record of the file
	twoLongs bool    // a record of two numbers, as those of a map of counts by column are
	longText bool    // a record of a number and bytes, as those of bounds are
}

// layout is how a writer has laid out entries.
type layout struct {
	root  *node
	noted [fields]*node
	maps  [fields]*pairs // those by column
}

// layouts are those of the schemas that were met last, by their text: a table has few, and thousands of manifests.
var layouts = struct {
	sync.Mutex
	known map[string]*layout
}{known: map[string]*layout{}}

const maxLayouts = 256

func layoutFor(schema string) (*layout, error) {
	layouts.Lock()
	l := layouts.known[schema]
	layouts.Unlock()
	if l != nil {
		return l, nil
	}
	parsed, err := avro.Parse(schema)
	if err != nil {
		return nil, err
	}
	if l, err = layoutOf(parsed); err != nil {
		return nil, err
	}
	layouts.Lock()
	defer layouts.Unlock()
	if len(layouts.known) >= maxLayouts {
		clear(layouts.known)
	}
	layouts.known[schema] = l
	return l, nil
}

func layoutOf(schema *avro.Schema) (*layout, error) {
	l := &layout{}
	names := map[string]*node{}
	root, err := l.compile(schema.Root(), names, "")
	if err != nil {
		return nil, err
	}
	if root.kind != atype.Record {
		return nil, fmt.Errorf("entries are of type %s, not records", root.kind)
	}
	l.root = root
	l.find(root, entryFields)
	for i, name := range root.names {
		if name == "data_file" && root.parts[i].kind == atype.Record {
			l.find(root.parts[i], dataFileFields)
			root.parts[i].noteEnd = true
		}
	}
	for _, f := range []field{status, filePath, recordCount} {
		if l.noted[f] == nil {
			return nil, fmt.Errorf("entries have no %s", [fields]string{status: "status", filePath: "data_file.file_path", recordCount: "data_file.record_count"}[f])
		}
	}
	if _, of := l.noted[filePath].nullable(); of == nil || of.kind != atype.String {
		return nil, errors.New("data_file.file_path is no string")
	}
	for _, f := range []field{valueCounts, nullCounts, nanCounts} {
		l.maps[f] = pairsOf(l.noted[f], atype.Int, atype.Long)
	}
	for _, f := range []field{lowerBounds, upperBounds} {
		l.maps[f] = pairsOf(l.noted[f], atype.Bytes)
	}
	return l, nil
}

// find notes fields of a record.
func (l *layout) find(n *node, wanted map[string]field) {
	for i, name := range n.names {
		if f, ok := wanted[name]; ok {
			n.note[i], l.noted[f] = f, n.parts[i]
		}
	}
}

// compile makes a node; names are the types that were defined before, and scope is the namespace that the type stands in.
func (l *layout) compile(of *avro.SchemaNode, names map[string]*node, scope string) (*node, error) {
	n := &node{kind: of.Type, size: of.Size}
	parts, err := n.hold(of)
	if err != nil {
		if known := names[fullName(of.Type, scope)]; known != nil {
			return known, nil
		}
		return nil, err
	}
	full := ""
	if of.Name != "" {
		full = fullName(of.Name, of.Namespace)
		scope = full[:max(strings.LastIndexByte(full, '.'), 0)]
	}
	for _, p := range parts {
		part, err := l.compile(p, names, scope)
		if err != nil {
			return nil, err
		}
		n.parts = append(n.parts, part)
	}
	if n.kind == atype.Record && len(n.parts) == 2 && n.parts[0].number() {
		n.twoLongs = n.parts[1].number()
		n.longText = n.parts[1].kind == atype.Bytes || n.parts[1].kind == atype.String
	}
	if full != "" {
		names[full] = n
	}
	return n, nil
}

// fullName is a name with its namespace (Avro 1.11, Names): one with a dot has its own.
func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// hold gives the types that a type is made of, and names those of a record. It is an error if the type is known by its name alone, as
// one that was defined before is, and one that holds itself, which nothing in a manifest does.
func (n *node) hold(of *avro.SchemaNode) (parts []*avro.SchemaNode, err error) {
	switch of.Type {
	case atype.Null, atype.Boolean, atype.Int, atype.Long, atype.Float, atype.Double, atype.String, atype.Bytes, atype.Fixed:
	case atype.Enum:
		n.kind = atype.Int
	case atype.Record, atype.Error:
		n.kind = atype.Record
		for i := range of.Fields {
			parts = append(parts, &of.Fields[i].Type)
			n.names, n.note = append(n.names, of.Fields[i].Name), append(n.note, -1)
		}
	case atype.Union:
		for i := range of.Branches {
			parts = append(parts, &of.Branches[i])
		}
	case atype.Array:
		parts = append(parts, of.Items)
	case atype.Map:
		parts = append(parts, of.Values)
	default:
		return nil, fmt.Errorf("unknown Avro type %q", of.Type)
	}
	return parts, nil
}

func (n *node) number() bool { return n.kind == atype.Int || n.kind == atype.Long }

// nullable gives the branch of a union of null and another type, and the other type; -1 where the type itself stands.
func (n *node) nullable() (branch int, of *node) {
	if n == nil || n.kind != atype.Union {
		return -1, n
	}
	for i, p := range n.parts {
		if p.kind != atype.Null {
			branch, of = i, p
		}
	}
	if len(n.parts) > 2 || of == nil {
		return -1, nil
	}
	return branch, of
}

// pairs is a map by column, which manifests have as an array of records of a key and a value.
type pairs struct {
	branch     int // of the union, -1 without one
	item       *node
	key, value int // which fields they are
}

// pairsOf is nil where the type is another, whose values then say nothing.
func pairsOf(n *node, values ...string) *pairs {
	branch, array := n.nullable()
	if array == nil || array.kind != atype.Array || array.parts[0].kind != atype.Record {
		return nil
	}
	p := &pairs{branch: branch, item: array.parts[0], key: -1, value: -1}
	for i, name := range p.item.names {
		switch part := p.item.parts[i]; {
		case name == "key" && part.number():
			p.key = i
		case name == "value" && (part.kind == values[0] || part.kind == values[len(values)-1]):
			p.value = i
		}
	}
	if p.key < 0 || p.value < 0 {
		return nil
	}
	return p
}
