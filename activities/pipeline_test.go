package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
)

const flights = `
pipeline: flights
tables:
  bronze.flights:
    source: {files: "landing/*.csv", malformed: quarantine}
    columns: {flight: int, updated: timestamptz}
  silver.flights:
    from: bronze.flights
    steps:
      - filter: carrier != null
      - derive: {id: carrier + string(flight), late: delay > 15}
      - dedupe: {by: [id], keep: latest, order_by: [updated]}
    columns:
      id: {type: string, required: true}
    expect:
      - {name: known aircraft, that: tailnum != null, otherwise: quarantine}
    write:
      merge:
        on: [id]
        strategy: merge-on-read
        when_matched: [{if: t.updated < s.updated, update: "*"}]
        when_not_matched: [{insert: "*"}]
    identifier: [id]
  silver.airlines:
    source: {files: airlines.csv}
    write: replace
  gold.carriers:
    sql: |
      SELECT f.carrier, a.name, count(*) AS flights, count(*) FILTER (f.late) AS late
      FROM silver.flights f LEFT JOIN silver.airlines a ON a.carrier = f.carrier GROUP BY ALL
    write: replace
`

func flightsLab(t *testing.T, change ...func(*Config)) *lab {
	t.Helper()
	l := newLab(t, change...)
	l.write("pipelines/flights.yaml", flights)
	l.write("airlines.csv", "carrier,name\nUA,United\nAA,American\n")
	l.write("landing/1.csv", "carrier,flight,tailnum,delay,updated\n"+
		"UA,1,N1,20,2013-01-01T00:00:00Z\n"+
		"UA,2,N2,3,2013-01-01T00:00:00Z\n"+
		"AA,1,N3,30,2013-01-01T00:00:00Z\n"+
		"AA,x,N3,30,2013-01-01T00:00:00Z\n"+ // no number
		",9,N9,0,2013-01-01T00:00:00Z\n") // no carrier
	l.write("landing/2.csv", "carrier,flight,tailnum,delay,updated\n"+
		"UA,1,N1,5,2013-01-02T00:00:00Z\n"+
		"DL,7,NA,1,2013-01-02T00:00:00Z\n") // no aircraft
	return l
}

func TestPipelineFromFilesToGold(t *testing.T) {
	l := flightsLab(t)
	r := l.runPipeline("flights")

	bronze := r["bronze.flights"]
	require.Equal(t, wire.StateBuilt, bronze.State)
	require.Equal(t, "2 of 2 files are new", bronze.Reason)
	require.Equal(t, []any{int64(7), int64(6), int64(1), 2}, []any{bronze.RowsRead, bronze.Inserted, bronze.Quarantined, bronze.FilesRead})
	require.Equal(t, []string{"created"}, bronze.Changes)
	require.Len(t, l.rows("bronze.flights", "carrier"), 6)
	quarantined := l.rows("bronze.flights__quarantine", "_source_row", "_column", "_row")
	require.Equal(t, []string{"4 flight AA,x,N3,30,2013-01-01T00:00:00Z"}, quarantined)

	silver := r["silver.flights"]
	require.Equal(t, []any{int64(6), int64(1), int64(1), int64(1), int64(3)},
		[]any{silver.RowsRead, silver.Filtered, silver.Duplicates, silver.Quarantined, silver.Inserted})
	require.Equal(t, []string{"AA1 N3 true", "UA1 N1 false", "UA2 N2 false"}, l.rows("silver.flights", "id", "tailnum", "late"))
	require.Len(t, l.rows("silver.flights__quarantine", "_key"), 1)
	for _, table := range []string{"silver.flights", "silver.flights__quarantine"} {
		require.True(t, l.metered.shows(metricRedone, table), "what is redone of %s is counted", table)
	}
	require.Equal(t, []string{"AA American 1 1", "UA United 2 0"}, l.rows("gold.carriers"))
	require.Empty(t, l.staged(), "every build has swept its staging area")
}

func TestSecondRunFindsNothing(t *testing.T) {
	l := flightsLab(t)
	l.runPipeline("flights")
	before := map[string]int{}
	for _, name := range []string{"bronze.flights", "silver.flights", "silver.airlines", "gold.carriers"} {
		before[name] = l.snapshots(name)
	}
	for name, r := range l.runPipeline("flights") {
		require.Equal(t, wire.StateUnchanged, r.State, "%s: %s", name, r.Reason)
	}
	for name, n := range before {
		require.Equal(t, n, l.snapshots(name), name)
	}
}

func TestOneMoreDeliveryChangesJustItsFlights(t *testing.T) {
	l := flightsLab(t)
	l.runPipeline("flights")
	l.write("landing/3.csv", "carrier,flight,tailnum,delay,updated,gate\n"+
		"UA,2,N2,40,2013-01-03T00:00:00Z,B1\n"+ // newer
		"AA,1,N3,99,2012-12-31T00:00:00Z,B2\n"+ // stale
		"UA,3,N4,1,2013-01-03T00:00:00Z,B3\n")
	r := l.runPipeline("flights")
	require.Equal(t, "1 of 3 files are new", r["bronze.flights"].Reason)
	require.Equal(t, int64(3), r["bronze.flights"].RowsRead)
	require.Contains(t, r["bronze.flights"].Changes, "columns added: gate")
	silver := r["silver.flights"]
	require.Equal(t, []int64{3, 1, 1, 1}, []int64{silver.RowsRead, silver.Inserted, silver.Updated, silver.Unchanged})
	require.Equal(t, []string{"AA1 30", "UA1 5", "UA2 40", "UA3 1"}, l.rows("silver.flights", "id", "delay"))
	require.Equal(t, []string{"AA American 1 1", "UA United 3 1"}, l.rows("gold.carriers"))
	require.Equal(t, wire.StateUnchanged, r["silver.airlines"].State)
}
