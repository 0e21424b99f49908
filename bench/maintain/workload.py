"""The maintenance workload: the rows of the MERGE benchmark's target, shuffled, in 200 files.

usage: workload.py OUT SCALE
"""
import os
import subprocess
import sys

import duckdb

out, scale = sys.argv[1], sys.argv[2]
here = os.path.dirname(os.path.abspath(__file__))
os.makedirs(out, exist_ok=True)
subprocess.run([sys.executable, f"{here}/../merge/workload.py", f"{out}/merge", scale], check=True)
con = duckdb.connect()
con.execute("SET TimeZone='UTC'; SET memory_limit='2GB'; SET preserve_insertion_order=true")
con.execute(f"CREATE TABLE t AS SELECT *, hash(transaction_id, 'file') % 200 AS part FROM '{out}/merge/target.parquet'")
for i in range(200):
    con.execute(f"""COPY (SELECT * EXCLUDE part FROM t WHERE part = {i} ORDER BY hash(transaction_id, 'order'))
        TO '{out}/part-{i:03}.parquet' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)""")
open(f"{out}/whole", "w").close()
