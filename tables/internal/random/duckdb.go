package random

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/duckdb/duckdb-go/v2"
	"github.com/google/uuid"
)

// FromDuckDB turns what DuckDB's driver gives into the tests' values.
func FromDuckDB(v any, k *Kind) any {
	switch v := v.(type) {
	case nil, bool, int64, float64, string:
		return v
	case int32:
		return int64(v)
	case float32:
		return float64(v)
	case time.Time:
		switch k.Name {
		case "date":
			return int64(math.Floor(float64(v.Unix()) / 86400))
		case "time":
			return int64(v.Hour()*3600+v.Minute()*60+v.Second())*1_000_000 + int64(v.Nanosecond()/1000)
		}
		return v.UnixMicro()
	case duckdb.Decimal:
		return decimal128.FromBigInt(v.Value)
	case []byte:
		if k.Name == "uuid" {
			return uuid.UUID(v)
		}
		return v
	case duckdb.UUID:
		return uuid.UUID(v)
	case []any:
		out := List{}
		for _, e := range v {
			out = append(out, FromDuckDB(e, k))
		}
		return out
	case map[string]any:
		return Record{FromDuckDB(v["a"], k), FromDuckDB(v["b"], k)}
	case duckdb.OrderedMap:
		out := Dict{}
		values := v.Values()
		for i, key := range v.Keys() {
			out = append(out, [2]any{FromDuckDB(key, k), FromDuckDB(values[i], k)})
		}
		return out
	}
	panic(fmt.Sprintf("DuckDB gave a %T", v))
}

// Literal writes a value as DuckDB's SQL.
func Literal(v any, k *Kind) string {
	body := ""
	switch v := v.(type) {
	case nil:
		body = "NULL"
	case bool:
		body = strconv.FormatBool(v)
	case int64:
		switch k.Name {
		case "date":
			body = "'" + time.Unix(v*86400, 0).UTC().Format(time.DateOnly) + "'"
		case "time":
			body = "'" + time.UnixMicro(v).UTC().Format("15:04:05.000000") + "'"
		case "timestamp":
			return fmt.Sprintf("make_timestamp(%d)", v)
		case "timestamptz":
			body = fmt.Sprintf("make_timestamp(%d)", v) // the session's time zone is UTC
		default:
			body = strconv.FormatInt(v, 10)
		}
	case float64:
		body = "'" + strconv.FormatFloat(v, 'g', -1, 64) + "'"
	case decimal128.Num:
		body = "'" + v.ToString(2) + "'"
	case string:
		body = "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case []byte:
		body = "unhex('" + hex.EncodeToString(v) + "')"
	case uuid.UUID:
		body = "'" + v.String() + "'"
	case List:
		var out []string
		for _, e := range v {
			out = append(out, Literal(e, KindNamed("int")))
		}
		body = "[" + strings.Join(out, ", ") + "]"
	case Record:
		body = "{'a': " + Literal(v[0], KindNamed("int")) + ", 'b': " + Literal(v[1], KindNamed("string")) + "}"
	case Dict:
		var out []string
		for _, e := range v {
			out = append(out, Literal(e[0], KindNamed("string"))+": "+Literal(e[1], KindNamed("long")))
		}
		body = "MAP {" + strings.Join(out, ", ") + "}"
	}
	return "CAST(" + body + " AS " + k.SQL + ")"
}

// Relation is a table in DuckDB, the model of what is tested.
type Relation struct {
	DB      *sql.DB
	Name    string
	Columns []Column
}

// Exec runs a statement.
func (r *Relation) Exec(query string) error {
	if _, err := r.DB.ExecContext(context.Background(), query); err != nil {
		return fmt.Errorf("%w\n%s", err, query)
	}
	return nil
}

// Create makes the table of r's columns, with rows.
func (r *Relation) Create(rows [][]any) error {
	var columns []string
	for _, c := range r.Columns {
		columns = append(columns, c.Name+" "+c.Kind.SQL)
	}
	if err := r.Exec("CREATE OR REPLACE TABLE " + r.Name + " (" + strings.Join(columns, ", ") + ")"); err != nil {
		return err
	}
	return r.Insert(rows)
}

// Insert adds rows.
func (r *Relation) Insert(rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	var out []string
	for _, row := range rows {
		var values []string
		for i, v := range row {
			values = append(values, Literal(v, r.Columns[i].Kind))
		}
		out = append(out, "("+strings.Join(values, ", ")+")")
	}
	return r.Exec("INSERT INTO " + r.Name + " VALUES " + strings.Join(out, ", "))
}

// Rows are the table's rows as text, sorted.
func (r *Relation) Rows() ([]string, error) {
	var names []string
	for _, c := range r.Columns {
		names = append(names, c.Name)
	}
	found, err := r.DB.QueryContext(context.Background(), "SELECT "+strings.Join(names, ", ")+" FROM "+r.Name)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var out []string
	for found.Next() {
		values := make([]any, len(names))
		at := make([]any, len(names))
		for i := range values {
			at[i] = &values[i]
		}
		if err := found.Scan(at...); err != nil {
			return nil, err
		}
		for i, v := range values {
			values[i] = FromDuckDB(v, r.Columns[i].Kind)
		}
		out = append(out, Text(List(values)))
	}
	slices.Sort(out)
	return out, found.Err()
}
