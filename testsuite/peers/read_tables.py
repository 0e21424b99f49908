"""Reads tables of a Varve lake with PyIceberg or with DuckDB's iceberg extension.

usage: read_tables.py pyiceberg|duckdb CATALOG_DB WAREHOUSE TABLES.json OUT

TABLES is a list of names. Writes OUT/<table>.parquet with each table's rows, and OUT/results.json: for each table, "" or
the error that reading it ended with.
"""
import json
import os
import sys

import duckdb
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog

peer, db, warehouse, names, out = sys.argv[1:6]
catalog = SqlCatalog("varve", uri=f"sqlite:///{db}", warehouse=warehouse)


def by_pyiceberg(table, to):
    pq.write_table(table.scan().to_arrow(), to, coerce_timestamps="us")


def extensions():
    """DuckDB's extensions come from PyPI: nothing is downloaded when they are loaded."""
    import duckdb_extension_avro
    import duckdb_extension_iceberg

    con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for module in (duckdb_extension_avro, duckdb_extension_iceberg):
        for folder, _, files in os.walk(os.path.dirname(module.__file__)):
            for f in files:
                if f.endswith(".duckdb_extension"):
                    con.execute(f"LOAD '{folder}/{f}'")
    con.execute("SET TimeZone='UTC'")
    return con


con = extensions() if peer == "duckdb" else None


def by_duckdb(table, to):
    con.execute(f"COPY (SELECT * FROM iceberg_scan('{table.metadata_location}')) TO '{to}' (FORMAT parquet)")


results = []
for name in json.load(open(names)):
    error = ""
    try:
        table = catalog.load_table(name)
        (by_pyiceberg if peer == "pyiceberg" else by_duckdb)(table, f"{out}/{name}.parquet")
    except Exception as e:  # the test says which are to be expected
        error = f"{type(e).__name__}: {e}"[:1000]
    results.append(error)
json.dump(results, open(f"{out}/results.json", "w"), indent=1)
