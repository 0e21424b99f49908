"""Targets of other shapes than the workload's: of many columns, or of many files.

usage: shapes.py OUT columns|files NUMBER ROWS CHANGE

Writes OUT/target.parquet with ROWS rows in order of time, and sources of CHANGE rows, 80 % of them updates: OUT/scattered.parquet
over all of the time, OUT/recent.parquet within its last hundredth. With columns, rows have NUMBER columns and lie in one day;
with files, they lie in NUMBER days, of which each is a partition and so a file.
"""
import os
import sys

import duckdb

out, shape, number, rows, change = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
days = number if shape == "files" else 1
day = 86_400_000_000
begin = 1_262_304_000_000_000  # 2010-01-01

con = duckdb.connect()
con.execute("SET TimeZone='UTC'; SET preserve_insertion_order=true; SET threads=2")


def columns(seed: str) -> str:
    """A row's columns from its number i, its key's hash h and its time ts_us. Of four more columns, one is of each type."""
    kinds = [
        "(hash(i, {n}) % 1000000)::BIGINT", "(hash(i, {n}) % 10000)::DOUBLE / 100",
        "'value ' || (hash(i, {n}) % 1000)::VARCHAR", "make_timestamp((ts_us + hash(i, {n}) % 1000000)::BIGINT)",
    ]
    more = [kinds[c % 4].format(n=f"'{seed}{c}'") + f" AS c{c}" for c in range(max(number - 3, 1) if shape == "columns" else 4)]
    return ", ".join([
        "(substr(h,1,8)||'-'||substr(h,9,4)||'-'||substr(h,13,4)||'-'||substr(h,17,4)||'-'||substr(h,21,12)) AS transaction_id",
        "make_timestamp(ts_us) AS ts", "make_timestamp(ts_us + updated) AS updated_at", *more])


def write(name: str, numbers: str, seed: str, key: str, updated: int) -> None:
    """numbers selects i, the number of the target's row whose time and, where it is updated, whose key a row has."""
    ts = f"({begin} + (i * {days} // {rows}) * {day} + (i * {days} % {rows}) * {day // rows})::BIGINT"
    con.execute(f"""COPY (SELECT {columns(seed)} FROM (SELECT i, {key} AS h, {ts} AS ts_us, {updated} AS updated FROM ({numbers})))
        TO '{out}/{name}.parquet' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {max(131072 * 10 // max(number, 10), 2048) if shape == 'columns' else 131072})""")


os.makedirs(out, exist_ok=True)
write("target", f"SELECT i FROM range({rows}) r(i)", "", "md5('t' || i)", 0)
for name, first in (("recent", rows - rows // 100), ("scattered", 0)):
    n = min(change, rows - first)
    numbers = f"SELECT ({first} + floor(k * {(rows - first) / n}))::BIGINT AS i FROM range({n}) r(k)"
    write(name, numbers, name, "CASE WHEN hash(i, 'new') % 5 = 0 THEN md5('n' || i) ELSE md5('t' || i) END", 3_600_000_000)
