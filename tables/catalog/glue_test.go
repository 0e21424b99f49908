package catalog_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/fault"
)

// TestClassesOfGlueErrors holds the class of a load and of a drop against what Glue answers.
func TestClassesOfGlueErrors(t *testing.T) {
	answer := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"__type":%q,"Message":"no"}`, code)
		}
	}
	table := `{"Table":{"Name":"t","TableType":"EXTERNAL_TABLE","DatabaseName":"ns","VersionId":"1","Parameters":{"table_type":"ICEBERG","metadata_location":"file:///nowhere"}}}`
	for name, c := range map[string]struct {
		answer     http.HandlerFunc
		load, drop error
	}{
		"EntityNotFoundException":     {answer(400, "EntityNotFoundException"), fault.ErrAbsent, fault.ErrAbsent},
		"AccessDeniedException":       {answer(400, "AccessDeniedException"), fault.ErrDenied, fault.ErrDenied},
		"UnrecognizedClientException": {answer(400, "UnrecognizedClientException"), fault.ErrDenied, fault.ErrDenied},
		"ThrottlingException":         {answer(400, "ThrottlingException"), fault.ErrPassing, fault.ErrPassing},
		"ConcurrentModification":      {answer(400, "ConcurrentModificationException"), fault.ErrConflict, fault.ErrConflict},
		"InternalServiceException":    {answer(500, "InternalServiceException"), fault.ErrPassing, fault.ErrUnknownOutcome},
		"OperationTimeoutException":   {answer(400, "OperationTimeoutException"), fault.ErrPassing, fault.ErrUnknownOutcome},
		"InvalidInputException":       {answer(400, "InvalidInputException"), nil, nil},
		"no answer":                   {func(w http.ResponseWriter, _ *http.Request) { hangUp(w) }, fault.ErrPassing, fault.ErrUnknownOutcome},
		"a page of HTML":              {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502); fmt.Fprint(w, "<html>") }, fault.ErrPassing, fault.ErrUnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			var asked, updates atomic.Int32
			var dropping atomic.Bool
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if dropping.Load() && r.Header.Get("X-Amz-Target") == "AWSGlue.GetTable" {
					fmt.Fprint(w, table)
					return
				}
				if asked.Add(1); dropping.Load() {
					updates.Add(1)
				}
				c.answer(w, r)
			}))
			defer s.Close()
			cat, err := catalog.Open(t.Context(), catalog.Config{
				Type: "glue", URI: s.URL, Warehouse: "file://" + t.TempDir(), Credential: "id:hunter2",
				Props: map[string]string{"glue.region": "eu-west-1"},
			})
			require.NoError(t, err)
			defer cat.Close()
			_, err = cat.LoadTable(t.Context(), ident)
			require.Equal(t, c.load, fault.Class(err), "load: %v", err)
			if c.load == fault.ErrPassing {
				require.EqualValues(t, 4, asked.Load(), "what only reads is tried again")
			} else {
				require.EqualValues(t, 1, asked.Load())
			}
			dropping.Store(true)
			err = cat.DropTable(t.Context(), ident)
			require.Error(t, err)
			require.EqualValues(t, 1, updates.Load(), "what changes something is not")
			require.Equal(t, c.drop, fault.Class(err), "drop: %v", err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}
