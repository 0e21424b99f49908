"""What the peers' sides of the benchmarks share: a process per peer, which answers commands on standard input."""
import glob
import hashlib
import json
import os
import resource
import sys


def spark_session(warehouse):
    """Spark on two threads with an Iceberg catalog, b, in a folder."""
    from pyspark.sql import SparkSession
    jars = ",".join(glob.glob(os.environ["VARVE_BENCH_JARS"] + "/*.jar"))
    return (SparkSession.builder.master("local[2]").config("spark.jars", jars)
            .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
            .config("spark.sql.catalog.b", "org.apache.iceberg.spark.SparkCatalog").config("spark.sql.catalog.b.type", "hadoop")
            .config("spark.sql.catalog.b.warehouse", warehouse).config("spark.driver.memory", "4g").config("spark.sql.session.timeZone", "UTC")
            .config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false").config("spark.sql.shuffle.partitions", "8").config("spark.log.level", "ERROR").getOrCreate())


def checksum(row) -> str:
    return hashlib.md5("|".join(str(v) for v in row).encode()).hexdigest()[:16]


def peak_mb(peer):
    if hasattr(peer, "spark"):  # the JVM is a child; its high-water mark is in /proc
        jvm = peer.spark.sparkContext._gateway.jvm.java.lang.ProcessHandle.current().pid()
        for line in open(f"/proc/{jvm}/status"):
            if line.startswith("VmHWM"):
                return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def serve(make, timed, work):
    """Answers prepare | TIMED ARGUMENT | check | reset, a line each, with a line of JSON. make() gives the peer; timed names its
    method that is measured and gives seconds."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not mix with the answers
    peer = make()
    remembered = f"{work}.base"  # what reset goes back to, for the process that comes after the one that prepared
    if os.path.exists(remembered):
        peer.base = json.load(open(remembered))
    for line in sys.stdin:
        command, *args = line.split()
        answer = {}
        if command == "prepare":
            peer.prepare()
            json.dump(getattr(peer, "base", None), open(remembered, "w"))
        elif command == timed:
            answer = {"seconds": getattr(peer, timed)(*args), "peak_rss_mb": peak_mb(peer)}
        elif command == "check":
            row = peer.check()
            answer = {"rows": row[0], "checksum": checksum(row)}
        elif command == "reset":
            peer.reset()
        print(json.dumps(answer), file=answers, flush=True)
