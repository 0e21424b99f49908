"""MERGE, Varve beside its peers, alternating in one run. See `make bench-merge`.

usage: bench.py WORK VARVE_BENCH_BINARY OUT.json
environment: SCALE (1), RUNS (5), SYSTEMS (varve,delta-rs,duckdb,duckdb-days,spark), CASES, FLOOR (1; 0 leaves it out)

Each system serves from a process of its own; the systems take turns, case by case. Beside the wall time of a merge go the
CPU seconds that the process and its children spent on it, which other work on the machine disturbs less.
"""
import json
import os
import statistics
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(here))
from cpu import cpu

work, varve, out = map(os.path.abspath, sys.argv[1:4])
scale, runs = os.environ.get("SCALE", "1"), int(os.environ.get("RUNS", "5"))
systems = os.environ.get("SYSTEMS", "varve,delta-rs,duckdb,duckdb-days,spark").split(",")
cases = os.environ.get("CASES", "recent/cow,scattered/cow,recent/mor,scattered/mor").split(",")
with_floor = os.environ.get("FLOOR", "1") != "0"
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

    def merge(self, source):
        before = cpu(self.process.pid)
        answer = self.ask("merge", source)
        return answer | {"cpu_s": cpu(self.process.pid) - before}

    def floor(self, source):
        return self.ask("floor", source)

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
        case, seconds, busy, floors, last = f"merge/{source}/{strategy}", {}, {}, [], {}
        for run in range(runs + 1):  # the first warms up and is checked
            for p in peers:
                answer = p.merge(source)
                if run == 0:
                    last[p.system] = p.ask("check")
                else:
                    seconds.setdefault(p.system, []).append(round(answer["seconds"], 3))
                    busy.setdefault(p.system, []).append(round(answer["cpu_s"], 2))
                last[p.system] |= {"peak_rss_mb": answer["peak_rss_mb"], "detail": answer.get("detail")}
                p.ask("reset")
                if p.system == "varve" and with_floor and run > 0:  # after the merge's peak of memory was taken
                    floors.append(p.floor(source))
        for p in peers:
            results.append({"case": case, "system": p.system, "median_s": statistics.median(seconds[p.system]), "runs": seconds[p.system],
                            "cpu_s": statistics.median(busy[p.system]), **last[p.system]})
            if p.system == "varve" and floors:
                results[-1]["floor_s"] = round(statistics.median(f["read_s"] + f["write_s"] for f in floors), 3)
                results[-1]["floor"] = {k: round(statistics.median(f[k] for f in floors), 3) for k in floors[0]}
    for p in peers:
        p.close()

os.makedirs(os.path.dirname(out), exist_ok=True)
json.dump(results, open(out, "w"), indent=1)
print(f"{'case':22} {'system':11} {'median s':>9} {'x varve':>8} {'cpu s':>7} {'peak MB':>8} {'rows':>11}  checksum")
differ = []
for case in dict.fromkeys(r["case"] for r in results):
    rows = [r for r in results if r["case"] == case]
    base = next((r for r in rows if r["system"] == "varve"), None)
    for r in rows:
        ratio = f"{r['median_s'] / base['median_s']:8.1f}" if base else "       -"
        print(f"{case:22} {r['system']:11} {r['median_s']:9.2f} {ratio} {r['cpu_s']:7.1f} {r['peak_rss_mb']:8} {r['rows']:11,}  {r['checksum']}")
    if base and "floor_s" in base:
        f = base["floor"]
        print(f"{'':22} {'floor':11} {base['floor_s']:9.2f} {base['floor_s'] / base['median_s']:8.1f}   "
              f"read keys {f['read_s']:.2f} s of {f['files']:.0f} files, write the change {f['write_s']:.2f} s; Varve takes {base['median_s'] / base['floor_s']:.2f} x the floor")
    if base and base.get("detail"):
        print(f"{'':22} stages      " + ", ".join(f"{k} {v:.2f}" for k, v in base["detail"]["stages"].items()))
    source = case.split("/")[1]  # both strategies come to the same rows; in merge-on-read, CI has only Varve
    if len({(r["checksum"], r["rows"]) for r in results if r["case"].split("/")[1] == source}) > 1:
        differ.append(case)
if differ:
    sys.exit(f"{', '.join(differ)}: the systems' rows differ")
