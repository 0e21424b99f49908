"""How the time of a MERGE goes with the size of the table, at a fixed source of 100k rows. See `make bench-merge-trend`.

usage: trend.py WORK VARVE_BENCH_BINARY OUT.json
environment: SCALE (1) shrinks target and source; RUNS (3); SIZES (1,10,100), the target's millions of rows
"""
import json
import os
import shutil
import statistics
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
work, varve, out = map(os.path.abspath, sys.argv[1:4])
scale, runs = float(os.environ.get("SCALE", "1")), int(os.environ.get("RUNS", "3"))
sizes = [float(s) for s in os.environ.get("SIZES", "1,10,100").split(",")]
cases = ("recent+ts", "recent", "scattered")  # ON id and time, which prunes by partition; ON a random id, which cannot
results = []
print(f"{'case':28} {'median s':>9} {'scanned':>8} {'pruned':>7} {'MB written':>11} {'peak MB':>8}", flush=True)
for size in sizes:
    data = f"{work}/trend-data-{size * scale:g}"
    if not os.path.exists(f"{data}/scattered.parquet"):
        subprocess.run([sys.executable, f"{here}/workload.py", data, str(size * scale / 10), str(int(100_000 * scale))], check=True)
    for strategy in ("cow", "mor"):
        table = f"{work}/trend-{strategy}"
        shutil.rmtree(table, ignore_errors=True)
        for commands in (["prepare"], [c for name in cases for c in [f"merge {name}", "reset"] * (runs + 1)]):
            done = subprocess.run([varve, strategy, data, table], input="\n".join(commands) + "\n", stdout=subprocess.PIPE, text=True, check=True)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        for name in cases:
            timed = [a for c, a in zip(commands, answers) if c == f"merge {name}"][1:]
            case, d = f"trend/{size * scale:g}M/{name}/{strategy}", timed[-1]["detail"]
            seconds = statistics.median(a["seconds"] for a in timed)
            results.append({"case": case, "system": "varve", "median_s": seconds, "runs": [a["seconds"] for a in timed], "peak_rss_mb": timed[-1]["peak_rss_mb"], "detail": d})
            print(f"{case:28} {seconds:9.2f} {d['files_scanned']:8} {d['files_pruned']:7} {d['bytes_written'] / 1e6:11.1f} {timed[-1]['peak_rss_mb']:8}", flush=True)
        shutil.rmtree(table, ignore_errors=True)
os.makedirs(os.path.dirname(out), exist_ok=True)
json.dump(results, open(out, "w"), indent=1)
