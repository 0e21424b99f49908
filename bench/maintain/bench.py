"""Compaction, Varve beside its peers, alternating in one run. See `make bench-maintain`.

usage: bench.py WORK VARVE_BENCH_BINARY OUT.json
environment: SCALE (1), RUNS (3), SYSTEMS (varve,delta-rs,spark), CASES (binpack,sort,zorder; empty only prepares the tables)
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
scale, runs = os.environ.get("SCALE", "1"), int(os.environ.get("RUNS", "3"))
systems = os.environ.get("SYSTEMS", "varve,delta-rs,spark").split(",")
cases = [c for c in os.environ.get("CASES", "binpack,sort,zorder").split(",") if c]
data = f"{work}/maintain-{scale}"
if not os.path.exists(f"{data}/whole"):
    print(f"generating the workload at scale {scale}", file=sys.stderr)
    subprocess.run([sys.executable, f"{here}/workload.py", data, scale], check=True)


class Peer:
    """A system in a process of its own, which answers commands."""

    def __init__(self, system):
        self.system = system
        folder = f"{work}/maintain-{system}"
        self.command = [varve, data, folder] if system == "varve" else [sys.executable, f"{here}/peers.py", system, data, folder]
        prepared = f"{folder}.prepared"  # a peer's table is kept for the next run; ours is written by the code that is measured
        if system != "varve" and os.path.exists(prepared) and open(prepared).read() == scale:
            self.start()
            return
        subprocess.run(["rm", "-rf", folder, f"{folder}.base", prepared], check=True)
        self.start()
        self.ask("prepare")
        with open(prepared, "w") as f:
            f.write(scale)

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def again(self):
        """A new process, so that the peak of memory is that of what comes."""
        self.end()
        self.start()

    def end(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit(f"{self.system} ended with {self.process.returncode}")

    def ask(self, *command):
        print(*command, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.system} ended at {' '.join(command)}")
        return json.loads(line)

    def compact(self, case):
        before = cpu(self.process.pid)
        answer = self.ask("compact", case)
        return answer | {"cpu_s": cpu(self.process.pid) - before}


peers = [Peer(s) for s in systems]
results = []
for case in cases:
    able = [p for p in peers if not (p.system == "delta-rs" and case == "sort")]
    seconds, busy, copies, last = {}, {}, [], {}
    for p in able:
        p.again()
    for run in range(runs + 1):  # the first warms up and is checked
        for p in able:
            answer = p.compact(case)
            last.setdefault(p.system, {}).update(peak_rss_mb=answer["peak_rss_mb"], detail=answer.get("detail"))
            if run > 0:
                seconds.setdefault(p.system, []).append(round(answer["seconds"], 3))
                busy.setdefault(p.system, []).append(round(answer["cpu_s"], 2))
            else:
                last[p.system] |= p.ask("check")
            p.ask("reset")
            if p.system == "varve" and case == "binpack" and run > 0:
                copies.append(p.ask("copy")["seconds"])
    for p in able:
        results.append({"case": f"compact/{case}", "system": p.system, "median_s": statistics.median(seconds[p.system]), "runs": seconds[p.system], "cpu_s": statistics.median(busy[p.system]), **last[p.system]})
        if p.system == "varve" and copies:
            results[-1]["copy_s"] = round(statistics.median(copies), 3)
for p in peers:
    p.end()

os.makedirs(os.path.dirname(out), exist_ok=True)
json.dump(results, open(out, "w"), indent=1)
print(f"{'case':18} {'system':9} {'median s':>9} {'x varve':>8} {'cpu s':>7} {'peak MB':>8} {'rows':>11}  checksum")
for r in results:
    base = next((b for b in results if b["case"] == r["case"] and b["system"] == "varve"), None)
    ratio = f"{r['median_s'] / base['median_s']:8.1f}" if base else "       -"
    print(f"{r['case']:18} {r['system']:9} {r['median_s']:9.2f} {ratio} {r['cpu_s']:7.1f} {r['peak_rss_mb']:8} {r['rows']:11,}  {r['checksum']}")
    if "copy_s" in r:
        print(f"{'':18} {'(copy)':9} {r['copy_s']:9.2f} {r['copy_s'] / r['median_s']:8.1f}")
if len({(r["checksum"], r["rows"]) for r in results}) > 1:
    sys.exit("the systems' rows differ")
