"""The MERGE workload, from a seed: a target of 30 days and two sources.

usage: workload.py OUT SCALE [CHANGE]: CHANGE is the number of source rows where it is not to go with SCALE

Writes OUT/target.parquet (10M rows x SCALE), OUT/recent.parquet and OUT/scattered.parquet (500k rows x SCALE: 80 % updates,
a tenth of them stale, and 20 % inserts; of the last 3 days, or of all 30).
"""
import os
import sys

import duckdb

out, scale = sys.argv[1], float(sys.argv[2])
rows, days = int(10_000_000 * scale), 30
change = int(sys.argv[3]) if len(sys.argv) > 3 else int(500_000 * scale)
day = 86_400_000_000
begin = 1_767_225_600_000_000  # 2026-01-01

con = duckdb.connect()
con.execute("SET TimeZone='UTC'; SET preserve_insertion_order=true")


def column(seed: str) -> str:
    """A row's columns from its number i, its time ts_us and when it was updated."""
    return f"""
        (substr(h,1,8)||'-'||substr(h,9,4)||'-'||substr(h,13,4)||'-'||substr(h,17,4)||'-'||substr(h,21,12)) AS transaction_id,
        (hash(i, 'user{seed}') % 1000000)::BIGINT AS user_id,
        ((hash(i, 'amount{seed}') % 10000000)::BIGINT / 100)::DECIMAL(18,2) AS amount,
        ['EUR','USD','GBP','JPY','CHF'][1 + (hash(i, 'currency{seed}') % 5)::INT] AS currency,
        ['new','pending','settled','failed'][1 + (hash(i, 'status{seed}') % 4)::INT] AS status,
        make_timestamp(ts_us) AS ts, make_timestamp(updated_us) AS updated_at"""


def ts(i: str) -> str:
    """Rows come in order of time, as they would have been loaded, with some jitter within the day."""
    return f"({begin} + ({i} * {days} // {rows}) * {day} + (hash({i}, 'ts') % {day}))::BIGINT"


os.makedirs(out, exist_ok=True)
con.execute(f"""COPY (
    SELECT {column('')} FROM (SELECT *, md5('t' || i) AS h, ts_us + 1000000 AS updated_us FROM (SELECT i, {ts('i')} AS ts_us FROM range({rows}) r(i)))
) TO '{out}/target.parquet' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)""")

for name, first in (("recent", rows * (days - 3) // days), ("scattered", 0)):
    updates = change * 8 // 10
    stride = (rows - first) / updates
    con.execute(f"""COPY (
        SELECT {column(name)} FROM (
            SELECT i, md5('t' || i) AS h, ts_us, ts_us + CASE WHEN hash(i, 'stale') % 10 = 0 THEN 0 ELSE 3600000000 END AS updated_us
            FROM (SELECT i, {ts('i')} AS ts_us FROM (SELECT ({first} + floor(k * {stride}))::BIGINT AS i FROM range({updates}) r(k)))
            UNION ALL
            SELECT i, md5('n{name}' || i) AS h, ts_us, ts_us + 1000000 AS updated_us
            FROM (SELECT i, {ts('i')} AS ts_us FROM (SELECT ({first} + floor(k * {(rows - first) / (change - updates)}))::BIGINT AS i FROM range({change - updates}) r(k)))
        ) ORDER BY hash(h, 'order')
    ) TO '{out}/{name}.parquet' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)""")
