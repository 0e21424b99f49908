package catalog_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/fault"
)

// TestWhichAnswersToACommitAreFinal: over HTTP a first copy of the request may be under way still, whatever the answer says; a database
// answers on the connection that the statement came by, and nothing is under way of what never left.
func TestWhichAnswersToACommitAreFinal(t *testing.T) {
	sent := func(cat *catalog.Catalog) error {
		_, _, err := cat.CommitTable(t.Context(), ident, []table.Requirement{table.AssertRefSnapshotID("main", new(int64))},
			[]table.Update{table.NewSetPropertiesUpdate(map[string]string{"a": "b"})})
		require.Error(t, err)
		return err
	}
	for _, status := range []int{400, 403, 409, 412, 429, 500} {
		uri := restServer(t, `{}`, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":{"message":"no","type":"x","code":%d}}`, status)
		})
		cat, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: uri})
		require.NoError(t, err)
		require.False(t, fault.IsFinal(sent(cat)), "%d", status)
		require.NoError(t, cat.Close())
	}

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, `{}`)
	}))
	cat, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: server.URL})
	require.NoError(t, err)
	defer cat.Close()
	server.Close()
	err = sent(cat)
	require.ErrorIs(t, err, fault.ErrPassing)
	require.True(t, fault.IsFinal(err), "there was no connection: %v", err)

	dir := t.TempDir()
	local, err := catalog.Open(t.Context(), catalog.Config{URI: filepath.Join(dir, "catalog.db"), Warehouse: dir})
	require.NoError(t, err)
	defer local.Close()
	require.NoError(t, local.CreateNamespace(t.Context(), ident[:1], nil))
	_, err = local.CreateTable(t.Context(), ident, iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "x", Type: iceberg.PrimitiveTypes.Int64}))
	require.NoError(t, err)
	require.True(t, fault.IsFinal(func() error {
		_, _, err := local.CommitTable(t.Context(), ident, nil, []table.Update{table.NewRemoveSpecUpdate([]int{0})})
		require.Error(t, err)
		return err
	}()))
}
