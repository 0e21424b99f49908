"""The peers' side of the maintenance benchmark. Each is a class with prepare(), compact(how) -> seconds, check() and reset();
only compact is timed. One peer runs per process: its peak memory is the process's own."""
import glob
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from peer import serve, spark_session

CHECK = "count(*), sum(user_id), sum(amount), sum((user_id % 1000) * (floor({seconds}) % 1000))::BIGINT, min(transaction_id), max(transaction_id)"
TARGET = 64 << 20  # of clustered files; of packed ones 512 MiB


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
        self.data = data
        self.spark = spark_session(work)

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


if __name__ == "__main__":
    system, data, work = sys.argv[1:4]
    serve(lambda: {"delta-rs": Delta, "spark": Spark}[system](data, work), "compact", work)
