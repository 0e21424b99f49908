"""Reads every table of a Varve lake through PyIceberg's SQL catalog.

usage: read_pyiceberg.py CATALOG_DB WAREHOUSE OUT

Writes OUT/<table>.parquet with the rows and OUT/schemas.json with what PyIceberg says of types, partitioning and order.
"""
import json
import sys

import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog

db, warehouse, out = sys.argv[1:4]
catalog = SqlCatalog("varve", uri=f"sqlite:///{db}", warehouse=warehouse)
found = {}
for namespace in catalog.list_namespaces():
    for ident in catalog.list_tables(namespace):
        name = ".".join(ident)
        table = catalog.load_table(ident)
        pq.write_table(table.scan().to_arrow(), f"{out}/{name}.parquet", coerce_timestamps="us")
        schema = table.schema()
        found[name] = {
            "columns": {f.name: str(f.field_type) for f in schema.fields},
            "required": sorted(f.name for f in schema.fields if f.required),
            "partition": [f"{f.transform}({schema.find_column_name(f.source_id)})" for f in table.spec().fields],
            "sort": [f"{f.transform}({schema.find_column_name(f.source_id)}) {f.direction.name.lower()}" for f in table.sort_order().fields],
            "format_version": table.format_version,
            "properties": dict(table.properties),
        }
json.dump(found, open(f"{out}/schemas.json", "w"), indent=1, sort_keys=True)
