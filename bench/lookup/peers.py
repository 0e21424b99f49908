"""Peers of the lookup benchmark, on the table that Varve made, each by its metadata.

usage: peers.py SYSTEM METADATA_LOCATION COLUMN [JARS]; keys come as lines, answers are lines of JSON: seconds and rows.

duckdb is DuckDB's iceberg extension (iceberg_scan), pyiceberg a table that is loaded once, spark is Spark in this process' JVM with two
threads, warm, also on a table that is loaded once.
"""
import datetime
import glob
import json
import os
import sys
import time

system, metadata, column = sys.argv[1:4]
COLUMNS = ["transaction_id", "user_id", "amount", "currency", "status", "ts"]
EPOCH, MICROSECOND = datetime.datetime(1970, 1, 1), datetime.timedelta(microseconds=1)


def text(row):
    return "|".join(map(str, row[:-1])) + f"|{(row[-1] - EPOCH) // MICROSECOND}"


def duckdb():
    """DuckDB's extensions come from PyPI: nothing is downloaded when they are loaded."""
    import duckdb
    import duckdb_extension_avro
    import duckdb_extension_iceberg

    con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for module in (duckdb_extension_avro, duckdb_extension_iceberg):
        for extension in glob.glob(f"{os.path.dirname(module.__file__)}/**/*.duckdb_extension", recursive=True):
            con.execute(f"LOAD '{extension}'")
    con.execute("SET threads = 2; SET parquet_metadata_cache = true")
    query = f"SELECT {', '.join(COLUMNS)} FROM iceberg_scan('{metadata}') WHERE {column} = ?"
    return lambda key: con.execute(query, [key]).fetchall()


def pyiceberg():
    from pyiceberg.expressions import EqualTo
    from pyiceberg.table import StaticTable

    table = StaticTable.from_metadata(metadata)

    def find(key):
        found = table.scan(row_filter=EqualTo(column, key), selected_fields=tuple(COLUMNS)).to_arrow().select(COLUMNS)
        return list(zip(*(c.to_pylist() for c in found.columns))) if found.num_rows else []

    return find


def spark():
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import col

    session = (
        SparkSession.builder.master("local[2]").appName("varve-lookup")
        .config("spark.jars", ",".join(sorted(glob.glob(f"{sys.argv[4]}/*.jar"))))
        .config("spark.sql.session.timeZone", "UTC").config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false").config("spark.driver.memory", "4g")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    table = session.read.format("iceberg").load(metadata).select(*COLUMNS)
    return lambda key: [tuple(r) for r in table.where(col(column) == key).collect()]


find = {"duckdb": duckdb, "pyiceberg": pyiceberg, "spark": spark}[system]()
for line in sys.stdin:
    key = line.strip()
    if column == "user_id":
        key = int(key)
    start = time.perf_counter()
    rows = find(key)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "rows": sorted(text(r) for r in rows)}), flush=True)
