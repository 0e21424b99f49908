"""Tells what PyIceberg finds in the metadata of tables of a Varve lake.

usage: inspect_tables.py CATALOG_DB WAREHOUSE TABLES.json OUT

TABLES is a list of names. Writes OUT/inspected.json: for each table its live data and delete files, snapshots, references with their
settings, manifests of the head, metadata files, and how many rows a scan of each snapshot gives, -1 if it cannot be read.
"""
import json
import os
import sys

from pyiceberg.catalog.sql import SqlCatalog

db, warehouse, names, out = sys.argv[1:5]
catalog = SqlCatalog("varve", uri=f"sqlite:///{db}", warehouse=warehouse)


def rows(table, snapshot):
    try:
        return table.scan(snapshot_id=snapshot).to_arrow().num_rows
    except Exception as e:  # whatever it is, the snapshot cannot be read
        print(f"{snapshot}: {e}", file=sys.stderr)
        return -1


def files(table, snapshot):
    return [{"path": f["file_path"], "content": f["content"], "bytes": f["file_size_in_bytes"], "rows": f["record_count"]}
            for f in table.inspect.files(snapshot).to_pylist()]


def size(location):
    return os.path.getsize(location.removeprefix("file://"))


found = {}
for name in json.load(open(names)):
    table = catalog.load_table(name)
    snapshots = table.metadata.snapshots
    found[name] = {
        "files": files(table, None) if snapshots else [],
        "snapshots": {str(s.snapshot_id): rows(table, s.snapshot_id) for s in snapshots},
        "files_of": {str(s.snapshot_id): len(files(table, s.snapshot_id)) for s in snapshots},
        "refs": {ref: {"snapshot": str(r.snapshot_id), "type": r.snapshot_ref_type.value, "keep": r.min_snapshots_to_keep or 0,
                       "max_snapshot_age_ms": r.max_snapshot_age_ms or 0, "max_ref_age_ms": r.max_ref_age_ms or 0}
                 for ref, r in table.metadata.refs.items()},
        "manifests": [m["length"] for m in table.inspect.manifests().to_pylist()] if snapshots else [],
        "metadata_bytes": size(table.metadata_location),
        "metadata_files": [e.metadata_file for e in table.metadata.metadata_log] + [table.metadata_location],
    }
json.dump(found, open(f"{out}/inspected.json", "w"), indent=1)
