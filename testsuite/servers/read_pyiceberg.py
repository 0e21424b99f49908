"""Reads a table through a catalog by PyIceberg: its rows as sorted texts id=value, in JSON."""

import json
import sys

from pyiceberg.catalog import load_catalog

name, properties, table = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
rows = load_catalog(name, **properties).load_table(table).scan().to_arrow().to_pylist()
print(json.dumps(sorted(f"{r['id']}={r['value']}" for r in rows)))
