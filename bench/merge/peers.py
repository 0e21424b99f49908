"""The peers' side of the MERGE benchmark. Each is a class with prepare(), merge(source) -> seconds, check() and reset();
only merge is timed. One peer runs per process: its peak memory is the process's own."""
import glob
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from peer import serve, spark_session

COLUMNS = ["transaction_id", "user_id", "amount", "currency", "status", "ts", "updated_at"]
# A sum over columns is enough to tell a lost, doubled or stale row: updates change all of them.
CHECK = ("count(*), sum(user_id), sum(amount), count_if(status = 'settled'), count_if(currency = 'EUR'), "
         "min(transaction_id), max(transaction_id)")


class DuckDB:
    """A rewrite by hand: the files that hold a key of the source are found by reading the keys of all, written anew one by
    one and swapped in; rows that no file holds go to files of their own."""

    def __init__(self, data, work, strategy):
        import duckdb
        self.con, self.data, self.work = duckdb.connect(), data, work
        self.con.execute("SET TimeZone='UTC'; SET threads=2; SET memory_limit='4GB'; SET preserve_insertion_order=false")
        self.newest = ", ".join(f"CASE WHEN t.updated_at < s.updated_at THEN s.{c} ELSE t.{c} END AS {c}" for c in COLUMNS)

    def prepare(self):
        os.makedirs(self.work)
        self.con.execute(f"""COPY (SELECT *, ts::DATE AS day FROM '{self.data}/target.parquet') TO '{self.work}/base'
            (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day))""")
        self.reset()

    def reset(self):
        shutil.rmtree(f"{self.work}/table", ignore_errors=True)
        shutil.copytree(f"{self.work}/base", f"{self.work}/table", copy_function=os.link)

    def merge(self, source):
        t0 = time.time()
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE s AS SELECT * FROM '{self.data}/{source}.parquet'")
        self.con.execute(f"""CREATE OR REPLACE TEMP TABLE found AS SELECT transaction_id, filename
            FROM read_parquet('{self.work}/table/*/*.parquet', hive_partitioning=false, filename=true) SEMI JOIN s USING (transaction_id)""")
        touched = [r[0] for r in self.con.execute("SELECT DISTINCT filename FROM found ORDER BY 1").fetchall()]
        for old in touched:
            new = f"{old}.new"
            self.con.execute(f"""COPY (SELECT {self.newest} FROM read_parquet('{old}', hive_partitioning=false) t LEFT JOIN s USING (transaction_id))
                TO '{new}' (FORMAT parquet, COMPRESSION zstd)""")
        self.con.execute(f"""COPY (SELECT *, ts::DATE AS day FROM s ANTI JOIN found USING (transaction_id)) TO '{self.work}/table'
            (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day), APPEND)""")
        for old in touched:
            os.rename(f"{old}.new", old)
        return time.time() - t0

    def check(self):
        return self.con.execute(f"SELECT {CHECK} FROM read_parquet('{self.work}/table/*/*.parquet', hive_partitioning=false)").fetchone()


class DuckDBDays(DuckDB):
    """The same by someone who knows that a row's day is its partition and never changes, and tells: the source's days are
    rewritten, each joined with its own rows alone, and no other key is read."""

    def merge(self, source):
        t0 = time.time()
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE s AS SELECT *, ts::DATE AS day FROM '{self.data}/{source}.parquet'")
        days = [r[0] for r in self.con.execute("SELECT DISTINCT day FROM s ORDER BY 1").fetchall()]
        for d in days:
            folder = f"{self.work}/table/day={d}"
            new = f"{self.work}/new-{d}.parquet"
            self.con.execute(f"""COPY (
                WITH t AS (SELECT * FROM read_parquet('{folder}/*.parquet', hive_partitioning=false)), s AS (SELECT * FROM s WHERE day = '{d}')
                SELECT {self.newest} FROM t LEFT JOIN s USING (transaction_id)
                UNION ALL SELECT {", ".join(COLUMNS)} FROM s ANTI JOIN t USING (transaction_id)
            ) TO '{new}' (FORMAT parquet, COMPRESSION zstd)""")
            for f in glob.glob(f"{folder}/*.parquet"):
                os.remove(f)
            os.rename(new, f"{folder}/data.parquet")
        return time.time() - t0


class Delta:
    def __init__(self, data, work, strategy):
        self.data, self.work = data, work

    def prepare(self):
        import pyarrow.parquet as pq
        import pyarrow.compute as pc
        import deltalake
        for batch in pq.ParquetFile(f"{self.data}/target.parquet").iter_batches(2_000_000):
            import pyarrow as pa
            t = pa.Table.from_batches([batch])
            t = t.append_column("day", pc.cast(t["ts"], "date32"))
            deltalake.write_deltalake(self.work, t, mode="append", partition_by=["day"])
        self.base = deltalake.DeltaTable(self.work).version()

    def reset(self):
        import deltalake
        deltalake.DeltaTable(self.work).restore(self.base)

    def merge(self, source):
        import deltalake
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
        t0 = time.time()
        s = pq.read_table(f"{self.data}/{source}.parquet")
        s = s.append_column("day", pc.cast(s["ts"], "date32"))
        (deltalake.DeltaTable(self.work)
         .merge(s, "t.transaction_id = s.transaction_id", source_alias="s", target_alias="t")
         .when_matched_update_all("t.updated_at < s.updated_at")
         .when_not_matched_insert_all().execute())
        return time.time() - t0

    def check(self):
        import deltalake
        import duckdb
        t = deltalake.DeltaTable(self.work).to_pyarrow_dataset()
        return duckdb.connect().execute(f"SELECT {CHECK} FROM t").fetchone()


class Spark:
    def __init__(self, data, work, strategy):
        self.strategy, self.data, self.work = strategy, data, work
        self.spark = spark_session(work)

    def prepare(self):
        mode = {"cow": "copy-on-write", "mor": "merge-on-read"}[self.strategy]
        self.spark.read.parquet(f"{self.data}/target.parquet").createOrReplaceTempView("base")
        columns = ", ".join(f"CAST({c} AS timestamp) AS {c}" if c in ("ts", "updated_at") else c for c in COLUMNS)
        self.spark.sql(f"""CREATE TABLE b.d.t USING iceberg PARTITIONED BY (days(ts)) TBLPROPERTIES ('format-version'='2',
            'write.merge.mode'='{mode}', 'write.parquet.compression-codec'='zstd') AS SELECT {columns} FROM base""")
        self.base = self.spark.sql("SELECT snapshot_id FROM b.d.t.snapshots").collect()[0][0]

    def reset(self):
        self.spark.sql(f"CALL b.system.rollback_to_snapshot('d.t', {self.base})")

    def merge(self, source):
        t0 = time.time()
        columns = ", ".join(f"CAST({c} AS timestamp) AS {c}" if c in ("ts", "updated_at") else c for c in COLUMNS)
        self.spark.read.parquet(f"{self.data}/{source}.parquet").createOrReplaceTempView("src")
        self.spark.sql(f"""MERGE INTO b.d.t t USING (SELECT {columns} FROM src) s ON t.transaction_id = s.transaction_id
            WHEN MATCHED AND t.updated_at < s.updated_at THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *""")
        return time.time() - t0

    def check(self):
        return tuple(self.spark.sql(f"SELECT {CHECK} FROM b.d.t").collect()[0])


if __name__ == "__main__":
    system, strategy, data, work = sys.argv[1:5]
    serve(lambda: {"duckdb": DuckDB, "duckdb-days": DuckDBDays, "delta-rs": Delta, "spark": Spark}[system](data, work, strategy), "merge", work)
