"""Appends rows to a table of a Varve lake through PyIceberg.

usage: append_pyiceberg.py CATALOG_DB WAREHOUSE TABLE ROWS.parquet
"""
import sys

import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog

db, warehouse, name, rows = sys.argv[1:5]
catalog = SqlCatalog("varve", uri=f"sqlite:///{db}", warehouse=warehouse)
table = catalog.load_table(name)
table.append(pq.read_table(rows).cast(table.schema().as_arrow()))
