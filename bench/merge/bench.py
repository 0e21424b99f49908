"""MERGE, Varve beside its peers, alternating in one run. See `make bench-merge`.

usage: bench.py WORK VARVE_BENCH_BINARY OUT.json
environment: SCALE (1), RUNS (5), SYSTEMS (varve,delta-rs,duckdb,spark), CASES
"""
import json
import os
import statistics
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
work, varve, out = map(os.path.abspath, sys.argv[1:4])
scale, runs = os.environ.get("SCALE", "1"), int(os.environ.get("RUNS", "5"))
systems = os.environ.get("SYSTEMS", "varve,delta-rs,duckdb,spark").split(",")
cases = os.environ.get("CASES", "recent/cow,scattered/cow,recent/mor,scattered/mor").split(",")
data = f"{work}/data-{scale}"
if not os.path.exists(f"{data}/scattered.parquet"):
    print(f"generating the workload at scale {scale}", file=sys.stderr)
    subprocess.run([sys.executable, f"{here}/workload.py", data, scale], check=True)


class Peer:
    """A system in a process of its own, which answers commands."""

    def __init__(self, system, strategy):
        self.system = system
        folder = f"{work}/{system}-{strategy}"
        subprocess.run(["rm", "-rf", folder, f"{folder}.base"], check=True)
        self.command = [varve, strategy, data, folder] if system == "varve" else [sys.executable, f"{here}/peers.py", system, strategy, data, folder]
        self.start()
        self.ask("prepare")
        self.close()
        self.start()  # anew, so that the peak of memory is the merge's and not the preparation's

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *command):
        print(*command, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.system} ended at {' '.join(command)}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


results = []
for strategy in ("cow", "mor"):
    sources = [c.split("/")[0] for c in cases if c.endswith(strategy)]
    able = [s for s in systems if strategy == "cow" or s in ("varve", "spark")]
    if not sources or not able:
        continue
    peers = [Peer(s, strategy) for s in able]
    for source in sources:
        case, seconds, last = f"merge/{source}/{strategy}", {}, {}
        for run in range(runs + 1):  # the first warms up and is checked
            for p in peers:
                answer = p.ask("merge", source)
                if run == 0:
                    last[p.system] = p.ask("check")
                else:
                    seconds.setdefault(p.system, []).append(round(answer["seconds"], 3))
                last[p.system] |= {"peak_rss_mb": answer["peak_rss_mb"], "detail": answer.get("detail")}
                p.ask("reset")
        for p in peers:
            results.append({"case": case, "system": p.system, "median_s": statistics.median(seconds[p.system]), "runs": seconds[p.system], **last[p.system]})
    for p in peers:
        p.close()

os.makedirs(os.path.dirname(out), exist_ok=True)
json.dump(results, open(out, "w"), indent=1)
print(f"{'case':22} {'system':9} {'median s':>9} {'x varve':>8} {'peak MB':>8} {'rows':>11}  checksum")
for case in dict.fromkeys(r["case"] for r in results):
    rows = [r for r in results if r["case"] == case]
    base = next((r["median_s"] for r in rows if r["system"] == "varve"), None)
    for r in rows:
        ratio = f"{r['median_s'] / base:8.1f}" if base else "       -"
        print(f"{case:22} {r['system']:9} {r['median_s']:9.2f} {ratio} {r['peak_rss_mb']:8} {r['rows']:11,}  {r['checksum']}")
    if len({r["checksum"] for r in rows}) > 1:
        sys.exit(f"{case}: the systems' rows differ")
