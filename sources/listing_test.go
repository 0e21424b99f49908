package sources_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/objects"
	"github.com/varve-lake/varve/sources"
)

// TestAListingIsReadPageByPage lists a folder of a hundred thousand objects: no more of their names are in memory than a
// page's, and who has seen enough asks for no more pages.
func TestAListingIsReadPageByPage(t *testing.T) {
	const pages, perPage = 100, 1000
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		page, _ := strconv.Atoi(r.URL.Query().Get("continuation-token"))
		var b strings.Builder
		fmt.Fprintf(&b, "<ListBucketResult><Name>lake</Name><IsTruncated>%t</IsTruncated><NextContinuationToken>%d</NextContinuationToken>", page < pages-1, page+1)
		for i := range perPage {
			fmt.Fprintf(&b, "<Contents><Key>landing/delivery-of-a-carrier-%09d.csv.gz</Key><Size>1</Size><ETag>%032d</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>", page*perPage+i, i)
		}
		b.WriteString("</ListBucketResult>")
		w.Header().Set("Content-Type", "application/xml")
		_, _ = w.Write([]byte(b.String()))
	}))
	defer s.Close()
	stores := objects.New(objects.Config{S3: objects.S3{Endpoint: s.URL, PathStyle: true, AccessKey: "a", SecretKey: "b"}})
	defer stores.Close()
	anywhere := sources.Anywhere{Objects: stores}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}

	n, most, began := 0, int64(0), int64(0)
	for f, err := range anywhere.List(t.Context(), "s3://lake/landing/*.csv.gz") {
		require.NoError(t, err)
		require.NotEmpty(t, f.URI)
		if n++; n == 1 {
			began = heap()
		}
		if n%20_000 == 0 {
			most = max(most, heap()-began)
		}
	}
	require.Equal(t, pages*perPage, n)
	require.EqualValues(t, pages, asked.Load())
	require.Less(t, most, int64(4<<20), "a hundred thousand names take more than ten megabytes")

	asked.Store(0)
	for range anywhere.List(t.Context(), "s3://lake/landing/*.csv.gz") {
		break
	}
	require.EqualValues(t, 1, asked.Load())
}
