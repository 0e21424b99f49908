package changes

import "strings"

// The tables that the queries read; see facts.
const (
	eventsTable     = "cdc.events"     // n, key, sequence, start, deletes, content
	heldTable       = "cdc.held"       // the same, and stop, stop_sequence
	tombstonesTable = "cdc.tombstones" // key, sequence, start
)

// latest decides for a table that has the present state of each key: of each key the event with the greatest sequence,
// unless the table or a tombstone has it already. Whether the table's row is older is for the MERGE to tell.
//
// Tombstones are older than anything: the row that the table has of a tombstone's sequence came after it, since otherwise
// it would not be there.
func (d *Definition) latest(tableRows int64) string {
	return replace(`
WITH everything AS (
  SELECT n, key, sequence, deletes, content FROM cdc.events
  UNION ALL SELECT n, key, sequence, deletes, content FROM cdc.held
  UNION ALL SELECT -1, key, sequence, true, ''::BLOB FROM cdc.tombstones
), different AS (
  SELECT key, sequence, deletes, content, min(n) AS n, max(n) AS came FROM everything GROUP BY key, sequence, deletes, content
), ranked AS (
  SELECT n, deletes,
    count(*) OVER (PARTITION BY key, sequence) AS rivals,
    row_number() OVER (PARTITION BY key ORDER BY sequence DESC, {arrival}) AS place
  FROM different
)
SELECT n, (CASE WHEN {fails} THEN {conflict} WHEN deletes THEN {gone} ELSE {write} END)::INTEGER AS what
FROM ranked WHERE n >= {events} AND (place = 1 OR {fails}) ORDER BY n`, d, tableRows)
}

// states decides for a history. The states of a key follow from its events alone, those of all runs: upserts are in the
// table, each at its own sequence; deletes are tombstones and, when these are forgotten, still there where a state ends
// before another begins. So it does not matter in which order events came, or in how many runs.
func (d *Definition) states(tableRows int64) string {
	return replace(`
WITH held AS (
  SELECT *, lead(start) OVER (PARTITION BY key ORDER BY sequence) AS follows FROM cdc.held
), forgotten AS (
  SELECT h.key, h.stop_sequence AS sequence, h.stop AS start FROM held h
  WHERE h.stop IS NOT NULL AND h.follows IS DISTINCT FROM h.stop
    AND NOT EXISTS (SELECT 1 FROM cdc.tombstones t WHERE t.key = h.key AND t.start = h.stop)
), everything AS (
  SELECT n, key, sequence, start, deletes, content, stop FROM held
  UNION ALL SELECT n, key, sequence, start, deletes, content, NULL FROM cdc.events
  UNION ALL SELECT -1, key, sequence, start, true, ''::BLOB, NULL FROM cdc.tombstones
  UNION ALL SELECT -1, key, sequence, start, true, ''::BLOB, NULL FROM forgotten
), different AS (
  SELECT key, sequence, deletes, content, min(n) AS n, max(n) AS came, any_value(start) AS start, any_value(stop) AS stop
  FROM everything GROUP BY key, sequence, deletes, content
), ranked AS (
  SELECT *,
    count(*) OVER (PARTITION BY key, sequence) AS rivals,
    row_number() OVER (PARTITION BY key, sequence ORDER BY {arrival}) AS place,
    first_value(deletes) OVER (PARTITION BY key, sequence ORDER BY {arrival}) AS deleted
  FROM different
), timeline AS (
  SELECT *, lead(start) OVER (PARTITION BY key ORDER BY sequence) AS until FROM ranked WHERE place = 1
)
SELECT n, (CASE WHEN {fails} THEN {conflict} WHEN deletes THEN {deletes} ELSE {write} END)::INTEGER AS what, until
FROM timeline WHERE n >= {events} OR n >= 0 AND until IS DISTINCT FROM stop
UNION ALL
SELECT n, (CASE WHEN {fails} THEN {conflict} ELSE {gone} END)::INTEGER, NULL
FROM ranked WHERE place > 1 AND (n >= {events} AND {fails} OR n >= 0 AND n < {events} AND NOT deletes AND deleted)
ORDER BY n`, d, tableRows)
}

func replace(query string, d *Definition, tableRows int64) string {
	return strings.NewReplacer(
		"{arrival}", d.arrival(), "{fails}", d.fails(), "{events}", number(tableRows),
		"{write}", number(write), "{gone}", number(gone), "{deletes}", number(deletes), "{conflict}", number(conflict),
	).Replace(query)
}
