"""MERGE of a source that does not fit in memory. See `make bench-merge-bounded`.

usage: bounded.py WORK VARVE_BENCH_BINARY OUT.json
environment: SCALE (1) shrinks source and target; RUNS (1); STRATEGIES (mor,cow); BUDGET (512), the worker's memory in MB

20M source rows with keys of 36 bytes are merged into 5M, of which they update 4M: with a budget, and with enough memory. Each
merge is a process of its own, whose greatest resident memory is the kernel's figure. It fails if the rows differ, if the budget
is exceeded, if the bounded merge takes more than twice the time, or if a temporary file is left.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys

import duckdb

work, varve, out = map(os.path.abspath, sys.argv[1:4])
scale, runs = float(os.environ.get("SCALE", "1")), int(os.environ.get("RUNS", "1"))
budget = int(os.environ.get("BUDGET", "512"))
strategies = os.environ.get("STRATEGIES", "mor,cow").split(",")
source_rows, target_rows = int(20_000_000 * scale), int(5_000_000 * scale)
data = f"{work}/bounded-data-{scale:g}"


def generate():
    """Target rows are i, from 0; every 5th source row i updates target row i // 5, the others are new."""
    os.makedirs(data, exist_ok=True)
    con = duckdb.connect()
    con.execute("SET TimeZone='UTC'; SET preserve_insertion_order=true; SET memory_limit='4GB'; SET threads=2")
    row = """
        (substr(h,1,8)||'-'||substr(h,9,4)||'-'||substr(h,13,4)||'-'||substr(h,17,4)||'-'||substr(h,21,12)) AS transaction_id,
        (hash(i, '{0}') % 1000000)::BIGINT AS user_id, ((hash(i, 'a{0}') % 10000000)::BIGINT / 100)::DECIMAL(18,2) AS amount,
        ['EUR','USD','GBP','JPY','CHF'][1 + (hash(i, 'c{0}') % 5)::INT] AS currency,
        ['new','pending','settled','failed'][1 + (hash(i, 's{0}') % 4)::INT] AS status,
        make_timestamp((1767225600000000 + (n * 30) // {1} * 86400000000 + hash(n, 'ts') % 86400000000)::BIGINT) AS ts,
        make_timestamp((1767225600000000 + 86400000000 * 31 + {2})::BIGINT) AS updated_at"""
    con.execute(f"""COPY (SELECT {row.format('t', target_rows, 0)} FROM (SELECT i, i AS n, md5('t' || i) AS h FROM range({target_rows}) r(i)))
        TO '{data}/target.parquet' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)""")
    con.execute(f"""COPY (SELECT {row.format('u', target_rows, 1)} FROM (
            SELECT i, i // 4 AS n, CASE WHEN i % 5 = 0 THEN md5('t' || (i // 5)) ELSE md5('n' || i) END AS h FROM range({source_rows}) r(i)))
        TO '{data}/bounded.parquet' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)""")


def serve(strategy, table, commands, memory=None):
    env = dict(os.environ, **({"MEMORY": str(memory)} if memory else {}))
    done = subprocess.run([varve, strategy, data, table], input="\n".join(commands) + "\n", stdout=subprocess.PIPE, text=True, check=True, env=env)
    return [json.loads(line) for line in done.stdout.splitlines()]


if not os.path.exists(f"{data}/bounded.parquet"):
    generate()
results, wrong = [], []
print(f"{'case':24} {'memory MB':>10} {'median s':>9} {'peak MB':>8} {'rows':>11}  checksum", flush=True)
for strategy in strategies:
    table = f"{work}/bounded-{strategy}"
    shutil.rmtree(table, ignore_errors=True)
    serve(strategy, table, ["prepare"])
    medians, sums = {}, set()
    for memory in (budget, 16384):
        timed = []
        for _ in range(runs):
            timed.append(serve(strategy, table, ["merge bounded"], memory)[0])
            if left := [f for f in os.listdir(table) if f.startswith("varve-")]:
                wrong.append(f"{strategy}: {memory} MB left temporary files: {left}")
            check = serve(strategy, table, ["check", "reset"])[0]
            sums.add((check["rows"], check["checksum"]))
        medians[memory] = statistics.median(t["seconds"] for t in timed)
        peak = max(t["peak_rss_mb"] for t in timed)
        results.append({"case": f"bounded/{strategy}/{memory}", "system": "varve", "median_s": medians[memory], "runs": [t["seconds"] for t in timed],
                        "peak_rss_mb": peak, "rows": check["rows"], "checksum": check["checksum"], "detail": timed[-1]["detail"]})
        print(f"{'bounded/' + strategy:24} {memory:10} {medians[memory]:9.1f} {peak:8} {check['rows']:11,}  {check['checksum']}", flush=True)
        print(f"{'':24} stages " + ", ".join(f"{k} {v:.1f}" for k, v in timed[-1]["detail"]["stages"].items()), flush=True)
        if memory == budget and peak > budget:
            wrong.append(f"{strategy}: {peak} MB are over the budget of {budget} MB")
    shutil.rmtree(table, ignore_errors=True)
    if len(sums) > 1:
        wrong.append(f"{strategy}: the rows differ")
    if medians[budget] > 2 * medians[16384] and scale >= 0.1:  # below, fixed costs are most of it
        wrong.append(f"{strategy}: {medians[budget]:.1f} s with {budget} MB are more than twice the {medians[16384]:.1f} s with enough")
os.makedirs(os.path.dirname(out), exist_ok=True)
json.dump(results, open(out, "w"), indent=1)
if wrong:
    sys.exit("\n".join(wrong))
