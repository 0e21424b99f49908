"""The peers' side of the maintenance benchmark. Each is a class with prepare(), compact(how) -> seconds, check() and reset();
only compact is timed. One peer runs per process: its peak memory is the process's own."""
import glob
import hashlib
import json
import os
import resource
import sys
import time

CHECK = "count(*), sum(user_id), sum(amount), sum((user_id % 1000) * (floor({seconds}) % 1000))::BIGINT, min(transaction_id), max(transaction_id)"
TARGET = 64 << 20  # of clustered files; of packed ones 512 MiB


def checksum(row) -> str:
    return hashlib.md5("|".join(str(v) for v in row).encode()).hexdigest()[:16]


class Delta:
    def __init__(self, data, work):
        self.data, self.work = data, work

    def prepare(self):
        import deltalake
        import pyarrow.parquet as pq
        for path in sorted(glob.glob(f"{self.data}/part-*.parquet")):
            deltalake.write_deltalake(self.work, pq.read_table(path), mode="append")
        self.base = deltalake.DeltaTable(self.work).version()

    def compact(self, how):
        import deltalake
        t0 = time.time()
        optimize = deltalake.DeltaTable(self.work).optimize
        if how == "binpack":
            optimize.compact(target_size=512 << 20)
        else:
            optimize.z_order(["user_id", "ts"], target_size=TARGET)
        return time.time() - t0

    def check(self):
        import deltalake
        import duckdb
        t = deltalake.DeltaTable(self.work).to_pyarrow_dataset()
        con = duckdb.connect()
        con.execute("SET TimeZone='UTC'")
        return con.execute(f"SELECT {CHECK.format(seconds='epoch(ts)')} FROM t").fetchone()

    def reset(self):
        import deltalake
        deltalake.DeltaTable(self.work).restore(self.base)


class Spark:
    def __init__(self, data, work):
        from pyspark.sql import SparkSession
        jars = ",".join(glob.glob(os.environ["VARVE_BENCH_JARS"] + "/*.jar"))
        self.data = data
        self.spark = (SparkSession.builder.master("local[2]").config("spark.jars", jars)
                      .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
                      .config("spark.sql.catalog.b", "org.apache.iceberg.spark.SparkCatalog").config("spark.sql.catalog.b.type", "hadoop")
                      .config("spark.sql.catalog.b.warehouse", work).config("spark.driver.memory", "4g").config("spark.sql.session.timeZone", "UTC")
                      .config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false").config("spark.sql.shuffle.partitions", "8").config("spark.log.level", "ERROR").getOrCreate())

    def prepare(self):
        first, *rest = sorted(glob.glob(f"{self.data}/part-*.parquet"))
        schema = self.spark.read.parquet(first).selectExpr("*").schema
        columns = [f"CAST({f.name} AS timestamp) AS {f.name}" if f.name in ("ts", "updated_at") else f.name for f in schema]
        self.spark.read.parquet(first).selectExpr(*columns).coalesce(1).writeTo("b.d.t").using("iceberg").tableProperty("format-version", "2") \
            .tableProperty("write.parquet.compression-codec", "zstd").create()
        for path in rest:
            self.spark.read.parquet(path).selectExpr(*columns).coalesce(1).writeTo("b.d.t").append()
        self.base = self.spark.sql("SELECT snapshot_id FROM b.d.t.snapshots ORDER BY committed_at DESC").collect()[0][0]

    def compact(self, how):
        order = {"binpack": "", "sort": ", strategy => 'sort', sort_order => 'user_id'", "zorder": ", strategy => 'sort', sort_order => 'zorder(user_id, ts)'"}[how]
        target = 512 << 20 if how == "binpack" else TARGET
        t0 = time.time()
        self.spark.sql(f"CALL b.system.rewrite_data_files(table => 'd.t'{order}, options => map('rewrite-all', 'true', 'target-file-size-bytes', '{target}'))").collect()
        return time.time() - t0

    def check(self):
        return tuple(self.spark.sql(f"SELECT {CHECK.format(seconds='unix_seconds(ts)')} FROM b.d.t").collect()[0])

    def reset(self):
        self.spark.sql(f"CALL b.system.rollback_to_snapshot('d.t', {self.base})")


def peak_mb(peer):
    if isinstance(peer, Spark):  # the JVM is a child; its high-water mark is in /proc
        jvm = peer.spark.sparkContext._gateway.jvm.java.lang.ProcessHandle.current().pid()
        for line in open(f"/proc/{jvm}/status"):
            if line.startswith("VmHWM"):
                return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main():
    """Serves commands on standard input, a line each: prepare | compact HOW | check | reset; answers a JSON line."""
    system, data, work = sys.argv[1:4]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not mix with the answers
    peer = {"delta-rs": Delta, "spark": Spark}[system](data, work)
    remembered = f"{work}.base"
    if os.path.exists(remembered):
        peer.base = json.load(open(remembered))
    for line in sys.stdin:
        command, *args = line.split()
        answer = {}
        if command == "prepare":
            peer.prepare()
            json.dump(peer.base, open(remembered, "w"))
        elif command == "compact":
            answer = {"seconds": peer.compact(*args), "peak_rss_mb": peak_mb(peer)}
        elif command == "check":
            row = peer.check()
            answer = {"rows": row[0], "checksum": checksum(row)}
        elif command == "reset":
            peer.reset()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
