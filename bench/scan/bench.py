"""A full scan with aggregation over 10M rows, by what `trigger query` runs, beside DuckDB on the same Parquet files. See `make bench-scan`.

usage: bench.py FOLDER_OF_THE_TABLE VARVE_BENCH_BINARY OUT.json
environment: RUNS (9); STRICT=0 does not fail when Varve takes more than 1.3 times DuckDB's time

Both are timed within a process that has started, with two threads and the files in the operating system's cache, in turn. Varve's time
has the table's planning in it. The results have to be equal, or the command fails.
"""
import glob
import json
import os
import statistics
import subprocess
import sys
import time

import duckdb

folder, varve, out = map(os.path.abspath, sys.argv[1:4])
runs = int(os.environ.get("RUNS", "9"))
MOST = 1.3  # what Varve may take of DuckDB's time
QUERIES = {
    "scan/total": "SELECT count(*) AS n, sum(user_id)::VARCHAR AS users, sum(amount)::VARCHAR AS amount, min(ts)::VARCHAR AS first, max(ts)::VARCHAR AS last FROM {t}",
    "scan/groups": "SELECT currency, status, count(*) AS n, sum(amount)::VARCHAR AS amount, max(ts)::VARCHAR AS last FROM {t} GROUP BY ALL ORDER BY ALL",
    "scan/text": "SELECT substr(transaction_id, 1, 1) AS c, count(*) AS n, min(transaction_id) AS low, max(transaction_id) AS high FROM {t} GROUP BY ALL ORDER BY ALL",
    "scan/filter": "SELECT currency, count(*) AS n, sum(amount)::VARCHAR AS amount FROM {t} WHERE status = 'settled' AND ts >= TIMESTAMP '2023-11-20' GROUP BY ALL ORDER BY ALL",
}
files = sorted(glob.glob(f"{folder}/warehouse/gold.db/transactions/data/**/*.parquet", recursive=True))
con = duckdb.connect()
con.execute("SET threads = 2; SET TimeZone = 'UTC'")
listed = "read_parquet([" + ", ".join(f"'{f}'" for f in files) + "])"
process = subprocess.Popen([varve, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def by_varve(query):
    print(query.format(t="gold.transactions"), file=process.stdin, flush=True)
    answer = json.loads(process.stdout.readline() or sys.exit(f"{varve} ended"))
    return answer["seconds"], answer["rows"]


def by_duckdb(query):
    query = query.format(t=listed)
    start = time.perf_counter()
    rows = con.execute(query).fetchall()
    return time.perf_counter() - start, ["|".join(map(str, r)) for r in rows]


results, slow = [], []
for case, query in QUERIES.items():
    took = {"varve": [], "duckdb": []}
    for run in range(runs + 1):
        (mine, rows), (its, expected) = by_varve(query), by_duckdb(query)
        if rows != expected:
            sys.exit(f"{case}: the rows differ: {rows[:3]} and {expected[:3]}")
        if run > 0:  # the first warms up
            took["varve"].append(mine)
            took["duckdb"].append(its)
    medians = {system: statistics.median(t) for system, t in took.items()}
    ratio = medians["varve"] / medians["duckdb"]
    for system, t in took.items():
        results.append({"case": case, "system": system, "median_s": medians[system], "runs": t, "rows": len(files) * 100_000})
    print(f"{case:12} varve {medians['varve'] * 1000:6.0f} ms  duckdb {medians['duckdb'] * 1000:6.0f} ms  ratio {ratio:.2f}", flush=True)
    if ratio > MOST:
        slow.append(f"{case}: {ratio:.2f} of DuckDB's time")
process.stdin.close()
process.wait()
os.makedirs(os.path.dirname(out), exist_ok=True)
json.dump(results, open(out, "w"), indent=1)
if slow and os.environ.get("STRICT", "1") != "0":
    sys.exit(f"slower than {MOST} times DuckDB: " + "; ".join(slow))
