package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// QuarantineSuffix follows a table's name in the name of the table of its rejected rows.
const QuarantineSuffix = "__quarantine"

// Encode gives the plan's JSON and its digest. Equal plans give equal bytes: fields are written in their order and maps
// by their keys.
func (p *Plan) Encode() (data []byte, digest string, err error) {
	data, err = json.Marshal(p)
	if err != nil {
		return nil, "", fmt.Errorf("encode the plan of %s: %w", p.Pipeline, err)
	}
	return data, Digest(data), nil
}

// Digest is the SHA-256 of data, in hexadecimal.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Decode reads what Encode wrote. A plan of a later version is refused, since what it asks for may not be known here.
func Decode(data []byte) (*Plan, error) {
	var p Plan
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("decode a plan: %w", err)
	}
	if p.Version > Version || p.Version < 1 {
		return nil, fmt.Errorf("decode the plan of %s: it has version %d, this worker knows %d", p.Pipeline, p.Version, Version)
	}
	return &p, nil
}

// Table finds a table of the plan; nil if it builds none of that name.
func (p *Plan) Table(name string) *Table {
	for i := range p.Tables {
		if p.Tables[i].Name == name {
			return &p.Tables[i]
		}
	}
	return nil
}

// Definition is the digest of what makes a table's rows from its source: steps, columns, expectations and how it is
// written. A table that is made anew from a whole source is made anew also when this changes.
func (t *Table) Definition() (string, error) {
	part := *t
	part.After, part.Doc, part.Owner, part.Tags, part.Properties = nil, "", "", nil, nil
	part.Maintenance = nil
	part.Input, part.Rows, part.Columns = undocumented(t.Input), undocumented(t.Rows), undocumented(t.Columns)
	data, err := json.Marshal(part)
	if err != nil {
		return "", fmt.Errorf("digest the definition of %s: %w", t.Name, err)
	}
	return Digest(data), nil
}

func undocumented(columns []Column) []Column {
	out := make([]Column, len(columns))
	for i, c := range columns {
		c.Doc = ""
		out[i] = c
	}
	return out
}
