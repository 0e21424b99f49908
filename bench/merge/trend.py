"""How the time of a MERGE goes with the size of the table, the number of its columns, and that of its files. See
`make bench-merge-trend`.

usage: trend.py WORK VARVE_BENCH_BINARY OUT.json
environment: SCALE (1) shrinks targets and sources; RUNS (3); TRENDS (rows,columns,files); SIZES (1,10,100), millions of rows;
COLUMNS (10,100,1000); FILES (10,100,1000,10000); BUDGET (512), the worker's memory in MB

It fails if a MERGE exceeds the budget.
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
budget = int(os.environ.get("BUDGET", "512"))
results, wrong = [], []


def numbers(name, default):
    return [float(s) for s in os.environ.get(name, default).split(",")]


def trend(label, data, make, cases):
    """Merges each case's source into a table of a shape, in both strategies, and goes back."""
    if not os.path.exists(f"{data}/scattered.parquet"):
        subprocess.run([sys.executable, *make], check=True)
    for strategy in ("cow", "mor"):
        table = f"{work}/trend-{strategy}"
        shutil.rmtree(table, ignore_errors=True)
        for commands in (["prepare"], [c for name in cases for c in [f"merge {name}", "reset"] * (runs + 1)]):
            done = subprocess.run([varve, strategy, data, table], input="\n".join(commands) + "\n", stdout=subprocess.PIPE, text=True, check=True,
                                  env=dict(os.environ, MEMORY=str(budget)))
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        for name in cases:
            timed = [a for c, a in zip(commands, answers) if c == f"merge {name}"][1:]
            case, d = f"trend/{label}/{name}/{strategy}", timed[-1]["detail"]
            if timed[-1]["peak_rss_mb"] > budget:
                wrong.append(f"{case}: {timed[-1]['peak_rss_mb']} MB are over the budget of {budget} MB")
            seconds = statistics.median(a["seconds"] for a in timed)
            results.append({"case": case, "system": "varve", "median_s": seconds, "runs": [a["seconds"] for a in timed], "peak_rss_mb": timed[-1]["peak_rss_mb"], "detail": d})
            print(f"{case:36} {seconds:9.2f} {d['files_scanned']:8} {d['files_pruned']:7} {d['bytes_written'] / 1e6:11.1f} {timed[-1]['peak_rss_mb']:8}", flush=True)
        shutil.rmtree(table, ignore_errors=True)


print(f"{'case':36} {'median s':>9} {'scanned':>8} {'pruned':>7} {'MB written':>11} {'peak MB':>8}", flush=True)
trends = os.environ.get("TRENDS", "rows,columns,files").split(",")
# ON id and time, which prunes by partition; ON a random id, which cannot.
cases = ("recent+ts", "recent", "scattered")
if "rows" in trends:
    for size in numbers("SIZES", "1,10,100"):
        data = f"{work}/trend-data-{size * scale:g}"
        trend(f"{size * scale:g}M", data, [f"{here}/workload.py", data, str(size * scale / 10), str(int(100_000 * scale))], cases)
if "columns" in trends:  # 200k rows, of which 2k change
    for n in numbers("COLUMNS", "10,100,1000"):
        data = f"{work}/trend-columns-{n:g}-{scale:g}"
        make = [f"{here}/shapes.py", data, "columns", f"{n:g}", str(int(200_000 * scale)), str(max(int(2_000 * scale), 10))]
        trend(f"{n:g}columns", data, make, ("recent", "scattered"))
if "files" in trends:  # 2M rows, of which 20k change
    for n in numbers("FILES", "10,100,1000,10000"):
        data = f"{work}/trend-files-{n:g}-{scale:g}"
        make = [f"{here}/shapes.py", data, "files", f"{n:.0f}", str(int(2_000_000 * scale)), str(max(int(20_000 * scale), 10))]
        trend(f"{n:.0f}files", data, make, cases)
os.makedirs(os.path.dirname(out), exist_ok=True)
json.dump(results, open(out, "w"), indent=1)
if wrong:
    sys.exit("\n".join(wrong))
