package healthpage

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
)

func sample() Table {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return Table{
		Policy: "every 1h", Next: []wire.UpkeepStep{{Kind: "compact", What: "join 12 files", Why: "day=1: 12 small files", Done: true}},
		Health: tables.Health{
			Table: "silver.<b>", Location: "s3://lake/t", Files: 15, Bytes: 3 << 20, Rows: 1234567, Target: 512 << 20, SmallFiles: 12, SmallShare: .8,
			Sizes:      []tables.SizeClass{{Below: 1 << 20, Files: 12, Bytes: 1 << 19}, {Below: 1 << 30, Files: 3, Bytes: 2 << 20}, {}},
			Partitions: []tables.PartitionHealth{{Path: `day="1"&<2>`, Files: 12, Rows: 10, SmallFiles: 12, DeletedRows: 5}, {Path: "day=2", Files: 3, Rows: 10}}, PartitionCount: 2,
			Depth: 1.5, ClusteredBy: []string{"id", "ts"},
			Before:  &tables.Layout{At: at, Partitions: []tables.PartitionHealth{{Path: "day=2", Files: 24, Rows: 10, SmallFiles: 20}, {Path: "day=0", Files: 6, Rows: 1}}},
			Commits: []tables.Commit{{At: at, Operation: "append", Files: 15}, {At: at.Add(time.Hour), Operation: "replace", Compaction: true, Files: 3}},
		},
	}
}

func render(t *testing.T, all ...Table) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, Write(&out, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), all))
	return out.String()
}

// The page asks nothing of anyone, runs nothing, and shows names as they are, whatever they hold.
func TestThePageStandsAlone(t *testing.T) {
	text := render(t, sample(), Table{Health: tables.Health{Table: "bronze.empty"}})
	require.NotRegexp(t, regexp.MustCompile(`(?i)<script|<link|<img|@import|url\(|src=|href=`), text)
	require.NotContains(t, text, "<b>")
	require.Contains(t, text, "silver.&lt;b&gt;")
	require.Contains(t, text, "1,234,567 rows")
	require.Contains(t, text, "join 12 files")
	require.Contains(t, text, "none is declared")
	require.Equal(t, 3, strings.Count(text, "<svg"), "a table without files has no pictures")
}

// Each picture is well formed, and stands for the numbers that it was made of.
func TestThePicturesAreOfTheNumbers(t *testing.T) {
	text := render(t, sample())
	pictures := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(text, -1)
	require.Len(t, pictures, 3)
	for _, p := range pictures {
		for d := xml.NewDecoder(strings.NewReader(p)); ; {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, p)
		}
	}
	heights := regexp.MustCompile(`height="([0-9.]+)" fill="#4a7fb5"`).FindAllStringSubmatch(pictures[0], -1)
	require.Equal(t, []string{"155.0", "38.8", "0.0"}, []string{heights[0][1], heights[1][1], heights[2][1]}, "12 files, 3 files, none")
	require.Contains(t, pictures[1], "50.0 % of its rows deleted")
	bars := regexp.MustCompile(`height="([0-9.]+)" fill="#bcd2e8"><title>([^,]*, [^:]*): (\d+) files`).FindAllStringSubmatch(pictures[1], -1)
	var drawn []string
	for _, b := range bars {
		drawn = append(drawn, strings.Join(b[1:], " "))
	}
	require.Equal(t, []string{
		"0.0 day=&#34;1&#34;&amp;&lt;2&gt;, before the last compaction 0", "77.5 day=&#34;1&#34;&amp;&lt;2&gt;, now 12",
		"155.0 day=2, before the last compaction 24", "19.4 day=2, now 3",
		"38.8 day=0, before the last compaction 6", "0.0 day=0, now 0",
	}, drawn, "each partition before and now, also one that is gone")
	require.Contains(t, text, "on the left before the last compaction (2026-01-01 00:00), on the right now")
	require.Regexp(t, `1\.50</td><td>files of its partition that a value lies in, by id, ts<`, text)
	require.Equal(t, 2, strings.Count(pictures[2], "<circle"))
	require.Equal(t, 1, strings.Count(pictures[2], "#e08a1e"), "the compaction")
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, count(n))
	}
	require.Equal(t, "512.0 MiB", Bytes(512<<20))
}
