package sql

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

// DirectInput is an Input some of whose tables are plain Parquet files, which DuckDB reads faster by itself than as a stream: with
// several threads, and without a copy.
type DirectInput interface {
	Input
	// Direct gives files of which DuckDB gets, by field ids alone, the same rows in the same order as Scan gives with the same
	// columns, but that filters may leave out other rows that they do not hold for. It is nil where that cannot be, or is not
	// worth while.
	Direct(ctx context.Context, table string, version Version, columns []string, filters []Filter) (*DirectFiles, error)
}

// DirectFiles are Parquet files in the local file system, and the field ids of the columns that were asked for.
type DirectFiles struct {
	Paths    []string
	FieldIDs []int
}

// readDirectly puts files in the place of scans where the Input has them. Whatever is wrong with one of them, the scan that stays
// instead will say.
func (s *session) readDirectly() error {
	in, ok := s.in.(DirectInput)
	if !ok || len(s.engine.opts.Folders) == 0 || !s.planned {
		return nil
	}
	replaced := false
	for _, r := range s.relations {
		if r.limit > 0 || len(r.columns) == 0 {
			continue
		}
		files, err := in.Direct(s.ctx, r.table, r.version, r.columns, r.filters)
		if err != nil || files == nil || !s.engine.mayRead(files.Paths) {
			continue
		}
		if s.directView(r, files) == nil {
			r.direct, replaced = true, true
		}
	}
	if !replaced {
		return nil
	}
	next, err := s.conn.prepare(s.stmt.text)
	if err != nil {
		return s.readStreams()
	}
	s.prepared.close()
	s.prepared = next
	return nil
}

// misread is what a scan says of a table whose files DuckDB has refused to read for a text that is not UTF-8: where that is.
func (s *session) misread(err error) error {
	if !strings.Contains(err.Error(), "Invalid string encoding") {
		return err
	}
	for _, r := range s.relations {
		if !r.direct {
			continue
		}
		rows, failed := s.in.Scan(s.ctx, r.table, r.version, r.columns, nil, 0)
		if failed == nil {
			for rows.Next() {
			}
			failed = rows.Err()
			rows.Release()
		}
		if failed != nil {
			return fmt.Errorf("sql: %w", failed)
		}
	}
	return err
}

// readStreams is the way back from files.
func (s *session) readStreams() error {
	for _, r := range s.relations {
		if err := r.makeView(); err != nil {
			return err
		}
	}
	return nil
}

// mayRead says whether DuckDB may open these files, and takes their names as they are.
func (e *Engine) mayRead(paths []string) bool {
	for _, path := range paths {
		within := false
		for _, folder := range e.opts.Folders {
			within = within || strings.HasPrefix(path, strings.TrimSuffix(folder, string(filepath.Separator))+string(filepath.Separator))
		}
		if !within || strings.ContainsAny(path, "*?[\x00") {
			return false
		}
	}
	return len(paths) > 0
}

// directView makes a relation's view one over files. Columns that the plan does not read are null in it. After an error, as of a
// file that is gone, it is the view that it was.
func (s *session) directView(r *relation, files *DirectFiles) error {
	types, err := s.columnTypes(r)
	if err != nil || len(types) != r.schema.NumFields() {
		return fmt.Errorf("sql engine: types of view %s: %d of %d: %w", r.view, len(types), r.schema.NumFields(), err)
	}
	ids := map[string]int{}
	for i, column := range r.columns {
		ids[column] = files.FieldIDs[i]
	}
	var list, fields []string
	for c, field := range r.schema.Fields() {
		if id, read := ids[field.Name]; read {
			list = append(list, r.columnName(c)+" AS "+quoteName(field.Name))
			fields = append(fields, fmt.Sprintf("%d: {'name': %s, 'type': %s, 'default_value': NULL}", id, quoteString(r.columnName(c)), quoteString(types[c])))
		} else {
			list = append(list, fmt.Sprintf("CAST(NULL AS %s) AS %s", types[c], quoteName(field.Name)))
		}
	}
	paths := make([]string, len(files.Paths))
	for i, path := range files.Paths {
		paths[i] = quoteString(path)
	}
	return s.conn.exec(fmt.Sprintf("CREATE OR REPLACE VIEW %s.%s AS SELECT %s FROM read_parquet([%s], schema = MAP {%s}, hive_partitioning = false)",
		quoteName(r.within), quoteName(r.view), strings.Join(list, ", "), strings.Join(paths, ", "), strings.Join(fields, ", ")))
}

// columnTypes are the types of a view's columns as SQL writes them.
func (s *session) columnTypes(r *relation) (types []string, err error) {
	text, err := s.conn.queryText(fmt.Sprintf("SELECT CAST(to_json(list(data_type ORDER BY column_index)) AS VARCHAR) FROM duckdb_columns() "+
		"WHERE database_name = %s AND schema_name = %s AND table_name = %s", quoteString(s.catalog), quoteString(r.within), quoteString(r.view)), 0)
	if err != nil {
		return nil, err
	}
	return types, json.Unmarshal([]byte(text), &types)
}
