package interop

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/servers"
)

const stock = `pipeline: stock
tables:
  bronze.stock:
    source: {files: "landing/*.csv", format: csv}
    columns: {id: int, name: string}
    write: append
  silver.stock:
    from: bronze.stock
    write: {merge: {on: [id], strategy: merge-on-read, when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]}}
`

// TestSparkSharesPostgreSQL has Spark read a table of the JDBC catalog in PostgreSQL after a MERGE, and append to it; Varve
// reads the appended rows, and merges into them.
func TestSparkSharesPostgreSQL(t *testing.T) {
	others, pg := install(t), servers.PostgreSQL(t)
	l := lab.Empty(t, lab.Build(t))
	l.Env = append(l.Env, "VARVE_ENVIRONMENT=shared", "VARVE_TEST_PASSWORD="+pg.Password)
	l.Write("varve.yaml", []byte(fmt.Sprintf("environments:\n  shared:\n    catalog: {type: sql, uri: %q, warehouse: %q, credential: {env: VARVE_TEST_PASSWORD}}\n",
		pg.URI(), "file://"+l.Path("warehouse"))))
	l.Write("pipelines/stock.yaml", []byte(stock))
	for i, rows := range []string{"1,a\n2,b\n3,c\n", "2,B\n4,d\n"} {
		l.Write(fmt.Sprintf("landing/%d.csv", i), []byte("id,name\n"+rows))
		l.Must("run", "stock")
	}
	properties, err := json.Marshal(map[string]string{
		"uri": fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/%s", pg.Port, pg.Database), "jdbc.user": pg.User, "jdbc.password": pg.Password,
		"warehouse": "file://" + l.Path("warehouse"),
	})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "rows")
	others.Python(t, "share_spark.py", string(properties), others.Jars(), "silver.stock", out, `[{"id": 10, "name": "spark"}, {"id": 11, "name": "too"}]`)
	before := l.Must("query", "--format", "csv", "SELECT id, name FROM silver.stock WHERE id < 10 ORDER BY id")
	if want := "id,name\n1,a\n2,B\n3,c\n4,d\n"; before != want {
		t.Errorf("Varve's rows are\n%s, expected\n%s", before, want)
	}
	compareWith(t, "silver.stock", l.Must("query", "--format", "csv", "SELECT * FROM silver.stock WHERE id < 10"), out+"/*.parquet")

	l.Write("landing/2.csv", []byte("id,name\n10,Varve\n12,f\n"))
	l.Must("run", "stock")
	after := l.Must("query", "--format", "csv", "SELECT id, name FROM silver.stock WHERE id >= 10 ORDER BY id")
	if want := "id,name\n10,Varve\n11,too\n12,f\n"; after != want {
		t.Errorf("after Spark's append, and a MERGE into it:\n%s, expected\n%s", after, want)
	}
}
