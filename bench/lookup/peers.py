"""Peers of the lookup benchmark, on the table that Varve made.

usage: peers.py SYSTEM METADATA_LOCATION COLUMN; keys come as lines, answers are lines of JSON: seconds and rows.

duckdb reads the table's Parquet files without its manifests (`read_parquet`): the rows that all systems have to find, and a bound that a
reader of the table's metadata by DuckDB would have to meet. pyiceberg reads the table by its metadata.
"""
import json
import sys
import time

system, metadata, column = sys.argv[1:4]
warehouse = metadata.rsplit("/metadata/", 1)[0].removeprefix("file://")


def text(row):
    transaction, user, amount, currency, status, ts = row
    micros = (ts - __import__("datetime").datetime(1970, 1, 1)) // __import__("datetime").timedelta(microseconds=1)
    return f"{transaction}|{user}|{amount}|{currency}|{status}|{micros}"


if system == "duckdb":
    import duckdb

    con = duckdb.connect()
    con.execute("SET enable_object_cache = true")
    query = f"SELECT transaction_id, user_id, amount, currency, status, ts FROM read_parquet('{warehouse}/data/**/*.parquet') WHERE {column} = ?"

    def find(key):
        return con.execute(query, [key]).fetchall()
else:
    from pyiceberg.expressions import EqualTo
    from pyiceberg.table import StaticTable

    table = StaticTable.from_metadata(metadata)

    def find(key):
        found = table.scan(row_filter=EqualTo(column, key)).to_arrow()
        return [tuple(r.values()) for r in found.to_pylist()]


for line in sys.stdin:
    key = line.strip()
    if column == "user_id":
        key = int(key)
    start = time.perf_counter()
    rows = find(key)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "rows": sorted(text(r) for r in rows)}), flush=True)
