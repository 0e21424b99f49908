"""Lookups by key, Varve beside its peers in one run. See `make bench-lookup`.

usage: bench.py WORK VARVE_BENCH_BINARY OUT.json
environment: SCALE (1: 100M rows in 1,000 files), LOOKUPS (1000 warm; a twentieth cold and of peers), SECONDS (20 of the 500 callers, none on S3),
PEER_SECONDS (30, for each of a peer's cases), SYSTEMS (varve,duckdb,pyiceberg,spark), JARS (Iceberg's for Spark),
STORE (local, or s3: a versitygw that is started for the run, or the one of S3_ENDPOINT and the like, see main.go), ONLY=make to make the
table and no more.

The rows of the keys that a peer is asked for are compared with Varve's: the command fails when they differ.
"""
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time

here = os.path.dirname(os.path.abspath(__file__))
work, varve, out = map(os.path.abspath, sys.argv[1:4])
scale = float(os.environ.get("SCALE", "1"))
lookups = int(os.environ.get("LOOKUPS", "1000"))
peer_seconds = float(os.environ.get("PEER_SECONDS", "30"))
systems = os.environ.get("SYSTEMS", "varve,duckdb,pyiceberg,spark").split(",")
files = max(2, round(1000 * scale))
on_s3 = os.environ.get("STORE", "local") == "s3"
seconds = os.environ.get("SECONDS", "0" if on_s3 else "20")
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
        """Of the process and its children, as Spark's JVM is one."""
        peak, pids = 0, [self.process.pid]
        for pid in pids:
            with open(f"/proc/{pid}/status") as f:
                peak += next((int(l.split()[1]) // 1024 for l in f if l.startswith("VmHWM")), 0)
            with open(f"/proc/{pid}/task/{pid}/children") as f:
                pids += f.read().split()
        return peak

    def close(self):
        self.process.stdin.close()
        self.process.wait()


@contextlib.contextmanager
def gateway():
    """versitygw over a folder of the work folder, unless S3_ENDPOINT names a server."""
    if not on_s3 or "S3_ENDPOINT" in os.environ:
        yield
        return
    os.makedirs(f"{folder}/buckets/lake", exist_ok=True)
    os.makedirs(f"{folder}/sidecar", exist_ok=True)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    access, secret = "varve-access", "varve-secret-of-s3"
    log = open(f"{folder}/gateway.log", "w")
    server = subprocess.Popen([f"{os.environ['VARVE_SERVERS']}/bin/versitygw", "--region", "us-east-1", "--quiet", "--port", f"127.0.0.1:{port}",
                               "posix", "--sidecar", f"{folder}/sidecar", f"{folder}/buckets"],
                              env={"ROOT_ACCESS_KEY": access, "ROOT_SECRET_KEY": secret}, stdout=log, stderr=log)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        os.environ.update(S3_ENDPOINT=f"http://127.0.0.1:{port}", S3_BUCKET="lake", S3_ACCESS_KEY=access, S3_SECRET_KEY=secret)
        yield
    finally:
        server.terminate()
        server.wait()


def report(case, system, figures, peak):
    results.append({"case": case, "system": system, "median_s": figures["p50_ms"] / 1000, "p99_s": figures["p99_ms"] / 1000,
                    "max_s": figures["max_ms"] / 1000, "count": figures["count"], "late": figures.get("late", 0),
                    "rows": files * 100_000, "peak_rss_mb": peak})
    late = f"  {figures['late']} asked late" if figures.get("late") else ""
    print(f"{case:20} {system:10} p50 {figures['p50_ms']:9.1f} ms  p99 {figures['p99_ms']:9.1f} ms  of {figures['count']:5}  peak {peak} MB{late}", flush=True)


def ask_peer(v, system, metadata, column, keys):
    """Times a peer's lookups, as many of the keys as its time allows, three at least; gives what differs from Varve's rows."""
    differ, took = [], []
    peer = Process(sys.executable, f"{here}/peers.py", system, metadata, column, os.environ.get("JARS", ""))
    peer.ask(keys[-1])
    began = time.monotonic()
    for key in reversed(keys):  # warms up with other keys than it is timed with
        if time.monotonic() - began > peer_seconds / 3:
            break
        peer.ask(str(int(key) + 1) if column == "user_id" else key + "x")
    began = time.monotonic()
    for key in keys:
        if len(took) >= 3 and time.monotonic() - began > peer_seconds:
            break
        answer = peer.ask(key)
        took.append(answer["seconds"] * 1000)
        mine = v.ask("check", column, key)
        if mine != answer["rows"]:
            differ.append(f"{column} = {key}: varve has {len(mine)} rows, {system} {len(answer['rows'])}; the first that differ: "
                          f"{[p for p in zip(mine, answer['rows']) if p[0] != p[1]][:1]}")
    took.sort()
    report("lookup/warm" if column == "user_id" else "lookup/bloom", system,
           {"p50_ms": statistics.median(took), "p99_ms": took[min(len(took) - 1, int(len(took) * 0.99))], "max_ms": took[-1], "count": len(took)},
           peer.peak_mb())
    peer.close()
    return differ


def measure():
    v, where = Process(varve, folder, str(files)), "/s3" if on_s3 else ""
    metadata, differ = v.ask("metadata"), []
    if os.environ.get("ONLY") == "make":
        v.close()
        return differ
    chance, some = random.Random(7), max(5, lookups // 20)
    keys = {"user_id": ["-1", str(files * 1000)] + [str(chance.randrange(files * 1000)) for _ in range(some)],
            "transaction_id": ["absent"] + [v.ask("transaction", chance.randrange(files), chance.randrange(100_000)) for _ in range(some)]}
    v.ask("warm", "user_id", lookups, 1)  # other keys than those that are timed
    report(f"lookup{where}/warm", "varve", v.ask("warm", "user_id", lookups, 2), v.peak_mb())
    v.ask("warm", "transaction_id", 2, 1)
    report(f"lookup{where}/bloom", "varve", v.ask("warm", "transaction_id", max(10, lookups // 10), 2), v.peak_mb())
    report(f"lookup{where}/cold", "varve", v.ask("cold", "user_id", max(5, lookups // 20), 3), v.peak_mb())
    if seconds != "0":
        report(f"lookup{where}/500", "varve", v.ask("callers", "user_id", 500, seconds), v.peak_mb())
    if not on_s3:
        for system in systems:
            for column, some in keys.items() if system != "varve" else []:
                differ += ask_peer(v, system, metadata, column, some)
    v.close()
    return differ


with gateway():
    differ = measure()
os.makedirs(os.path.dirname(out), exist_ok=True)
json.dump(results, open(out, "w"), indent=1)
if differ:
    sys.exit("the systems' rows differ:\n" + "\n".join(differ[:10]))
