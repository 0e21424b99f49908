package catalog_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/fault"
)

// unsaid is a requirement that the protocol has no word for.
type unsaid struct{ err error }

func (u unsaid) Validate(table.Metadata) error { return u.err }
func (unsaid) GetType() string                 { return "unsaid" }
func (unsaid) HeldHere()                       {}

// TestARequirementThatNoServerKnowsIsHeldHere looks at what a server is sent.
func TestARequirementThatNoServerKnowsIsHeldHere(t *testing.T) {
	const metadata = `{"format-version":2,"table-uuid":"9c12d441-03fe-4693-9a96-a0705ddf69c1","location":"file:///t","last-sequence-number":0,
"last-updated-ms":1,"last-column-id":1,"current-schema-id":0,"schemas":[{"type":"struct","schema-id":0,"fields":[{"id":1,"name":"x","required":false,"type":"long"}]}],
"default-spec-id":0,"partition-specs":[{"spec-id":0,"fields":[]}],"last-partition-id":999,"default-sort-order-id":0,"sort-orders":[{"order-id":0,"fields":[]}],
"properties":{"nessie.commit.id":"abc"}}`
	for name, config := range map[string]string{
		"any":    `{}`,
		"Nessie": `{"defaults":{"prefix":"main%7Clake","warehouse":"s3://lake/wh"},"overrides":{"nessie.is-nessie-catalog":"true"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			var sent []string
			uri := restServer(t, config, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					body, _ := io.ReadAll(r.Body)
					sent = append(sent, string(body))
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"metadata-location":"file:///t/metadata/1.metadata.json","metadata":%s}`, metadata)
			})
			cat, err := catalog.Open(t.Context(), catalog.Config{Type: "rest", URI: uri})
			require.NoError(t, err)
			defer cat.Close()
			commit := func(r table.Requirement) error {
				none := table.AssertRefSnapshotID("main", nil)
				_, _, err := cat.CommitTable(t.Context(), ident, []table.Requirement{none, r}, []table.Update{table.NewSetPropertiesUpdate(map[string]string{"a": "b"})})
				return err
			}
			require.NoError(t, commit(unsaid{}))
			require.Len(t, sent, 1)
			require.Contains(t, sent[0], "assert-ref-snapshot-id")
			require.NotContains(t, sent[0], "unsaid")
			require.ErrorIs(t, commit(unsaid{errors.New("it does not hold")}), fault.ErrConflict)
			require.Len(t, sent, 1, "nothing is sent")
		})
	}
}
