"""Makes the made-up data of the user_profiles and transactions pipelines: no real users, the same values each time.

    pip install pyarrow && python pipelines/data/generate.py

- user_activity/date=DAY/part-N.parquet: a row a session, with the user's profile as the session left it. The second day
  has some sessions that began on the first one and were delivered late; a profile must not go back to them.
- transactions/DAY.csv: payments and refunds.
"""
import csv
import datetime
import os
import random
import uuid

import pyarrow as pa
import pyarrow.parquet as pq

here = os.path.dirname(os.path.abspath(__file__))
rng = random.Random(20231027)
DAYS = [datetime.datetime(2023, 10, 27), datetime.datetime(2023, 10, 28)]
FIRST = ["Ada", "Bruno", "Chen", "Dalia", "Emre", "Freya", "Gael", "Hana", "Ivo", "Jun", "Keira", "Luz", "Milan", "Noor"]
LAST = ["Abara", "Berg", "Costa", "Dvorak", "Endo", "Fofana", "Garcia", "Haddad", "Ito", "Jansen", "Kaya", "Lopez"]
EVENTS = ["view", "search", "purchase", "review", "logout"]

ACTIVITY = pa.schema([
    ("user_id", pa.int64()),
    ("user_name", pa.string()),
    ("country", pa.string()),
    ("plan", pa.string()),
    ("last_event", pa.string()),
    ("sessions", pa.int32()),
    ("updated_at", pa.timestamp("us", tz="UTC")),
])


def moment(day):
    return day + datetime.timedelta(microseconds=rng.randrange(86_400_000_000))


def session(user_id, at, sessions):
    rng_user = random.Random(user_id)  # what does not change about a user
    return {
        "user_id": user_id,
        "user_name": f"{rng_user.choice(FIRST)} {rng_user.choice(LAST)}",
        "country": rng_user.choice(["ES", "DE", "JP", "BR", "US", None]),
        "plan": rng.choice(["free", "free", "plus", "pro"]),
        "last_event": rng.choice(EVENTS),
        "sessions": sessions,
        "updated_at": at,
    }


def activity():
    users = rng.sample(range(1000, 10_000), 500)
    first = [session(u, moment(DAYS[0]), n) for u in users[:400] for n in range(1, rng.choice([1, 1, 2, 3]) + 1)]
    second = [session(u, moment(DAYS[1]), rng.randrange(4, 9)) for u in users[250:]]
    second += [session(u, DAYS[0] + datetime.timedelta(minutes=rng.randrange(60)), 1) for u in users[200:260]]
    for day, rows in zip(DAYS, (first, second)):
        rng.shuffle(rows)
        folder = os.path.join(here, "user_activity", f"date={day:%Y-%m-%d}")
        os.makedirs(folder, exist_ok=True)
        half = len(rows) // 2
        for n, part in enumerate((rows[:half], rows[half:])):
            pq.write_table(pa.Table.from_pylist(part, ACTIVITY), os.path.join(folder, f"part-{n}.parquet"), compression="zstd")


def transactions():
    folder = os.path.join(here, "transactions")
    os.makedirs(folder, exist_ok=True)
    for day in DAYS:
        with open(os.path.join(folder, f"{day:%Y-%m-%d}.csv"), "w", newline="") as f:
            out = csv.writer(f, lineterminator="\n")
            out.writerow(["transaction_id", "user_id", "amount", "currency", "status", "ts"])
            for at in sorted(moment(day) for _ in range(600)):
                cents = rng.choice([rng.randrange(100, 20_000), rng.randrange(100, 2_000_000), -rng.randrange(100, 20_000)])
                if rng.random() < 0.005:
                    cents = 999_999_999_999_999_999  # the most that decimal(18,2) holds
                sign, cents = "-" if cents < 0 else "", abs(cents)
                out.writerow([
                    uuid.UUID(int=rng.getrandbits(128), version=4), rng.randrange(1000, 10_000), f"{sign}{cents // 100}.{cents % 100:02}",
                    rng.choice(["EUR", "USD", "JPY", "BRL"]), rng.choice(["settled", "settled", "pending", "refused"]),
                    f"{at:%Y-%m-%d %H:%M:%S.%f}",
                ])


activity()
transactions()
