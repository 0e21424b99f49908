package manifest

// Column is what the entries say of a column, in their order.
type Column struct {
	Low, High [][]byte // in the specification's single-value serialisation; nil where not known
	Nulls     []int64  // their number, -1 where not known
	AllNull   []bool   // it is known that there is nothing else
	NoNaN     []bool   // it is known that there is none
}

// Column reads what the entries say of one, by its field id; nil if that is nothing. Bounds are parts of the manifest's bytes.
func (e *Entries) Column(id int) *Column {
	n := len(e.records)
	c := &Column{Low: make([][]byte, n), High: make([][]byte, n), Nulls: make([]int64, n), AllNull: make([]bool, n), NoNaN: make([]bool, n)}
	said := false
	for i := range e.records {
		r := &e.records[i]
		var low, high, nan bool
		c.Low[i], low = e.bound(r, lowerBounds, int64(id))
		c.High[i], high = e.bound(r, upperBounds, int64(id))
		nulls, known := e.tally(r, nullCounts, int64(id))
		c.Nulls[i] = -1
		if known {
			c.Nulls[i] = nulls
			total, counted := e.tally(r, valueCounts, int64(id))
			c.AllNull[i] = counted && total == nulls && nulls > 0
		}
		var nans int64
		nans, nan = e.tally(r, nanCounts, int64(id))
		c.NoNaN[i] = nan && nans == 0
		said = said || low || high || known || nan
	}
	if !said {
		return nil
	}
	return c
}

// at calls do with a cursor at what a map by column says of one: of several times the last counts.
func (e *Entries) at(r *record, f field, id int64) (value cursor, found bool) {
	p := e.layout.maps[f]
	if p == nil || r.at[f] == absent {
		return value, false
	}
	in := cursor{e.data, int(r.at[f])}
	err := p.each(&in, func(key int64, v cursor) {
		if key == id {
			value, found = v, true
		}
	})
	return value, found && err == nil
}

func (e *Entries) bound(r *record, f field, id int64) ([]byte, bool) {
	in, found := e.at(r, f, id)
	if !found {
		return nil, false
	}
	out, err := in.bytes()
	if err == nil && out == nil {
		out = []byte{}
	}
	return out, err == nil
}

func (e *Entries) tally(r *record, f field, id int64) (int64, bool) {
	in, found := e.at(r, f, id)
	if !found {
		return 0, false
	}
	n, err := in.long()
	return n, err == nil
}
