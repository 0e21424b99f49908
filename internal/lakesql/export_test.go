package lakesql

// DirectFrom makes so many rows worth while for DuckDB to read files itself.
func (in *Input) DirectFrom(rows int64) *Input {
	in.directRows = rows
	return in
}
