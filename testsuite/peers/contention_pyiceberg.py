"""Carries out the work of the contention suite by PyIceberg: each writer a process with a catalog of its own.

usage: contention_pyiceberg.py JOB.json OUT.json

A MERGE is what its users make of it: read the rows of the keys, work out the new ones, and overwrite by a filter that names
the keys. Retries are the library's own, by their defaults. A commit that fails is reported, and the next one is begun.
OUT is, for each writer, a list of its commits; or, if the job is to read, the table's rows as texts.
"""
import json
import multiprocessing
import os
import sys
import time
import warnings

import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import And, EqualTo, In
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField

warnings.filterwarnings("ignore")  # of a delete that finds nothing
job = json.load(open(sys.argv[1]))
NAMES = ("k", "p", "v", "n")
ARROW = pa.schema([(c, pa.int64()) for c in NAMES])


def catalog():
    return load_catalog("peer", type="rest", uri=job["uri"])


def rows(values):
    return pa.table({c: [r[i] for r in values] for i, c in enumerate(NAMES)}, schema=ARROW)


def prepare():
    c = catalog()
    c.create_namespace_if_not_exists("contention")
    schema = Schema(*(NestedField(i + 1, name, LongType(), required=False) for i, name in enumerate(NAMES)))
    spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="p"))
    table = c.create_table(job["table"], schema, partition_spec=spec)
    table.append(rows([(k, k % 16, 0, 0) for k in range(job["initial"])]), snapshot_properties={"contention.id": "initial"})


def condition(change):
    keys = In("k", {r["k"] for r in change["rows"]})
    partitions = {r["p"] for r in change["rows"]}
    return And(EqualTo("p", partitions.pop()) if len(partitions) == 1 else In("p", partitions), keys)


def commit(c, change):
    table = c.load_table(job["table"])
    named = {"contention.id": change["id"]}
    if change["kind"] == "append":
        table.append(rows([(r["k"], r["p"], r["v"], 0) for r in change["rows"]]), snapshot_properties=named)
        return
    if change["kind"] == "delete":
        table.delete(condition(change), snapshot_properties=named)
        return
    where = condition(change)
    source, out, matched = {r["k"]: r for r in change["rows"]}, [], set()
    for t in table.scan(row_filter=where).to_arrow().to_pylist():
        s = source[t["k"]]
        matched.add(t["k"])
        if not s["del"]:
            out.append((t["k"], t["p"], (31 * t["v"] + s["v"]) % 1000003, t["n"] + 1))
    out += [(r["k"], r["p"], r["v"], 0) for r in change["rows"] if r["k"] not in matched and not r["del"]]
    table.overwrite(rows(out), overwrite_filter=where, snapshot_properties=named)


def writer(changes, gate, out):
    c = catalog()
    c.load_table(job["table"])
    gate.wait()
    report = []
    for change in changes:
        began, error = time.monotonic_ns(), ""
        try:
            commit(c, change)
        except Exception as e:  # every way in which it says no
            error = f"{type(e).__name__}: {e}"[:500]
        report.append({"id": change["id"], "kind": change["kind"], "began": began, "ended": time.monotonic_ns(), "error": error})
    json.dump(report, open(out, "w"))


def run():
    context = multiprocessing.get_context("fork")  # nothing of Arrow's has been started in this process
    first = context.Process(target=prepare)
    first.start()
    first.join()
    if first.exitcode:
        sys.exit("the table could not be made")
    gate = context.Barrier(len(job["writers"]))
    outs = [f"{sys.argv[2]}.{i}" for i in range(len(job["writers"]))]
    all = [context.Process(target=writer, args=(w, gate, out)) for w, out in zip(job["writers"], outs)]
    for p in all:
        p.start()
    for p in all:
        p.join()
    if any(p.exitcode for p in all):
        sys.exit("a writer ended badly")
    reports = [json.load(open(out)) for out in outs]
    json.dump(reports, open(sys.argv[2], "w"))


def read():
    table = catalog().load_table(job["table"])
    json.dump(sorted(f"{r['k']} {r['v']} {r['n']}" for r in table.scan().to_arrow().to_pylist()), open(sys.argv[2], "w"))


read() if job.get("read") else run()
