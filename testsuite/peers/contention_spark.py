"""Carries out the work of the contention suite by Spark: each writer a thread with a session of its own.

usage: contention_spark.py JOB.json OUT.json JARS

Retries and isolation are Iceberg's own, by their defaults. A commit that fails is reported, and the next one is begun. A change
of one partition names it in its conditions, as Iceberg advises. OUT is, for each writer, a list of its commits.
"""
import glob
import json
import sys
import threading
import time

from pyspark.sql import SparkSession

job, jars = json.load(open(sys.argv[1])), sys.argv[3]
spark = (
    SparkSession.builder.master("local[2]")
    .appName("varve-contention")
    .config("spark.jars", ",".join(sorted(glob.glob(f"{jars}/*.jar"))))
    .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
    .config("spark.sql.catalog.peer", "org.apache.iceberg.spark.SparkCatalog")
    .config("spark.sql.catalog.peer.type", "rest")
    .config("spark.sql.catalog.peer.uri", job["uri"])
    .config("spark.sql.catalog.peer.cache-enabled", "false")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.scheduler.mode", "FAIR")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "2g")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("OFF")
TABLE = f"peer.{job['table']}"


def values(change):
    return ", ".join(f"({r['k']}L, {r['p']}L, {r['v']}L, {str(r['del']).lower()})" for r in change["rows"])


def statement(change):
    one = change["partition"]
    if change["kind"] == "append":
        return f"INSERT INTO {TABLE} SELECT k, p, v, 0L FROM VALUES {values(change)} AS s(k, p, v, del)"
    if change["kind"] == "delete":
        keys = ", ".join(str(r["k"]) for r in change["rows"])
        partitions = ", ".join(sorted({str(r["p"]) for r in change["rows"]}))
        return f"DELETE FROM {TABLE} WHERE p IN ({partitions}) AND k IN ({keys})"
    named = f"t.p = {one} AND " if one >= 0 else ""
    return f"""MERGE INTO {TABLE} t USING (SELECT * FROM VALUES {values(change)} AS s(k, p, v, del)) s
        ON {named}t.p = s.p AND t.k = s.k
        WHEN MATCHED AND s.del THEN DELETE
        WHEN MATCHED THEN UPDATE SET v = (t.v * 31 + s.v) % 1000003, n = t.n + 1
        WHEN NOT MATCHED AND NOT s.del THEN INSERT (k, p, v, n) VALUES (s.k, s.p, s.v, 0)"""


spark.sql("CREATE NAMESPACE IF NOT EXISTS peer.contention")
spark.sql(f"CREATE TABLE {TABLE} (k bigint, p bigint, v bigint, n bigint) USING iceberg PARTITIONED BY (p)")
spark.conf.set("spark.sql.iceberg.snapshot-property.contention.id", "initial")
spark.sql(f"INSERT INTO {TABLE} SELECT id, id % 16, 0L, 0L FROM range({job['initial']})")
reports, gate = [[] for _ in job["writers"]], threading.Barrier(len(job["writers"]))


def writer(i):
    session = spark.newSession()
    gate.wait()
    for change in job["writers"][i]:
        began, error = time.monotonic_ns(), ""
        try:
            session.conf.set("spark.sql.iceberg.snapshot-property.contention.id", change["id"])
            session.sql(statement(change))
        except Exception as e:  # every way in which Spark says no
            error = f"{type(e).__name__}: {e}"[:500]
        reports[i].append({"id": change["id"], "kind": change["kind"], "began": began, "ended": time.monotonic_ns(), "error": error})


threads = [threading.Thread(target=writer, args=(i,)) for i in range(len(job["writers"]))]
for t in threads:
    t.start()
for t in threads:
    t.join()
json.dump(reports, open(sys.argv[2], "w"))
spark.stop()
