"""Lookups by key, Varve beside its peers in one run. See `make bench-lookup`.

usage: bench.py WORK VARVE_BENCH_BINARY OUT.json
environment: SCALE (1: 100M rows in 1,000 files), LOOKUPS (1000 warm; a twentieth cold and of peers), SECONDS (20, of the 500 callers),
SYSTEMS (varve,duckdb,pyiceberg), PEERS_PYTHON (an interpreter with pyiceberg); S3_ENDPOINT and the like: see main.go

The rows of some keys are compared with DuckDB's, over the same Parquet files: the command fails when they differ.
"""
import json
import os
import random
import statistics
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
work, varve, out = map(os.path.abspath, sys.argv[1:4])
scale = float(os.environ.get("SCALE", "1"))
lookups, seconds = int(os.environ.get("LOOKUPS", "1000")), os.environ.get("SECONDS", "20")
systems = os.environ.get("SYSTEMS", "varve,duckdb,pyiceberg").split(",")
files = max(2, round(1000 * scale))
on_s3 = "S3_ENDPOINT" in os.environ
folder = f"{work}/lookup{'-s3' if on_s3 else ''}-{files}"
results = []


class Process:
    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} ended at {' '.join(map(str, words))}")
        return json.loads(line)

    def peak_mb(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(l.split()[1]) // 1024 for l in f if l.startswith("VmHWM"))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def report(case, system, figures, peak):
    results.append({"case": case, "system": system, "median_s": figures["p50_ms"] / 1000, "p99_s": figures["p99_ms"] / 1000,
                    "max_s": figures["max_ms"] / 1000, "count": figures["count"], "late": figures.get("late", 0),
                    "rows": files * 100_000, "peak_rss_mb": peak})
    print(f"{case:28} {system:10} p50 {figures['p50_ms']:9.1f} ms  p99 {figures['p99_ms']:9.1f} ms  of {figures['count']}  peak {peak} MB", flush=True)


v = Process(varve, folder, str(files))
chance, differ = random.Random(7), []
metadata = v.ask("metadata")
keys = {"user_id": [str(chance.randrange(files * 1000)) for _ in range(max(5, lookups // 20))] + ["-1", str(files * 1000)],
        "transaction_id": [v.ask("transaction", chance.randrange(files), chance.randrange(100_000)) for _ in range(max(5, lookups // 20))] + ["absent"]}
where = "s3" if on_s3 else "warm"
v.ask("warm", "user_id", 20)
report(f"lookup/{where}", "varve", v.ask("warm", "user_id", lookups), v.peak_mb())
report(f"lookup/{where}/bloom", "varve", v.ask("warm", "transaction_id", max(10, lookups // 10)), v.peak_mb())
report("lookup/s3/cold" if on_s3 else "lookup/cold", "varve", v.ask("cold", "user_id", max(5, lookups // 20)), v.peak_mb())
if seconds != "0":
    report(f"lookup/500{'/s3' if on_s3 else ''}", "varve", v.ask("callers", "user_id", 500, seconds), v.peak_mb())
for system in [] if on_s3 else systems:
    if system == "varve":
        continue
    python = os.environ.get("PEERS_PYTHON", sys.executable) if system == "pyiceberg" else sys.executable
    for column, some in keys.items():
        peer = Process(python, f"{here}/peers.py", system, metadata, column)
        peer.ask(some[0])
        took = []
        for key in some:
            answer = peer.ask(key)
            took.append(answer["seconds"] * 1000)
            mine = v.ask("check", column, key)
            if mine != answer["rows"]:
                differ.append(f"{column} = {key}: varve has {len(mine)} rows, {system} {len(answer['rows'])}; the first that differ: "
                              f"{[p for p in zip(mine, answer['rows']) if p[0] != p[1]][:1]}")
        took.sort()
        report("lookup/warm" if column == "user_id" else "lookup/warm/bloom", system,
               {"p50_ms": statistics.median(took), "p99_ms": took[min(len(took) - 1, int(len(took) * 0.99))], "max_ms": took[-1], "count": len(took)},
               peer.peak_mb())
        peer.close()
v.close()
os.makedirs(os.path.dirname(out), exist_ok=True)
json.dump(results, open(out, "w"), indent=1)
if differ:
    sys.exit("the systems' rows differ:\n" + "\n".join(differ[:10]))
