-- What pipelines/flights.yaml must make of the files in ${landing} and ${dimensions}, computed from the raw files alone.

-- The dialect is named: to guess it for a hundred files takes a minute.
CREATE TABLE deliveries AS
SELECT * FROM read_csv('${landing}/*.csv.gz', header = true, union_by_name = true, nullstr = ['NA', ''], delim = ',', quote = '"', escape = '"', new_line = '\n',
  types = {'year': 'BIGINT', 'month': 'BIGINT', 'day': 'BIGINT', 'carrier': 'VARCHAR', 'flight': 'INTEGER', 'tailnum': 'VARCHAR', 'distance': 'INTEGER',
           'time_hour': 'TIMESTAMPTZ', 'updated_at': 'TIMESTAMPTZ', 'dep_delay': 'INTEGER', 'arr_delay': 'INTEGER', 'air_time': 'BIGINT', 'seats': 'BIGINT',
           'dep_time': 'BIGINT', 'arr_time': 'BIGINT', 'cancelled': 'BOOLEAN'});

CREATE VIEW newest AS
SELECT *, carrier || flight::VARCHAR || '/' || origin || '/' || strftime(time_hour AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S+00') AS flight_id
FROM deliveries
QUALIFY row_number() OVER (PARTITION BY carrier, flight, origin, time_hour ORDER BY updated_at DESC) = 1;

CREATE TABLE quarantined_flights AS SELECT DISTINCT carrier, flight, origin, time_hour FROM deliveries WHERE tailnum IS NULL;

CREATE TABLE silver_flights AS
SELECT flight_id, year, month, day, carrier, flight, tailnum, origin, dest AS destination, distance, time_hour, sched_dep_time, sched_arr_time,
       dep_time, dep_delay, arr_time, arr_delay, air_time, cancelled, arr_delay IS NOT NULL AND arr_delay > 15 AS late, seats, updated_at
FROM newest WHERE tailnum IS NOT NULL;

CREATE TABLE silver_airlines AS SELECT * FROM read_csv('${dimensions}/airlines.csv', header = true, nullstr = 'NA');
CREATE TABLE silver_airports AS SELECT faa, name, lat, lon, alt, tz, tzone FROM read_csv('${dimensions}/airports.csv', header = true, nullstr = 'NA');
CREATE TABLE silver_planes AS SELECT * FROM read_csv('${dimensions}/planes.csv', header = true, nullstr = 'NA');
CREATE TABLE silver_weather AS SELECT origin, year, month, day, hour, temp, dewp, humid, wind_dir, wind_speed, precip, visib, time_hour
FROM read_csv('${dimensions}/weather.csv.gz', header = true, nullstr = 'NA', types = {'time_hour': 'TIMESTAMPTZ', 'wind_speed': 'DOUBLE'});

CREATE TABLE gold_carrier_daily AS
SELECT make_date(year::INT, month::INT, day::INT) AS day, carrier, (SELECT name FROM silver_airlines a WHERE a.carrier = s.carrier) AS airline,
       count(*) AS flights, sum(coalesce(cancelled, false)::BIGINT)::BIGINT AS cancelled, sum(late::BIGINT)::BIGINT AS late,
       sum(dep_delay)::DOUBLE / count(dep_delay) AS mean_dep_delay, sum(arr_delay)::DOUBLE / count(arr_delay) AS mean_arr_delay
FROM silver_flights s GROUP BY year, month, day, carrier;

CREATE TABLE gold_route_monthly AS
WITH seated AS (
  SELECT s.*, (SELECT p.seats FROM silver_planes p WHERE p.tailnum = s.tailnum) AS aircraft_seats,
         EXISTS (FROM silver_weather w WHERE w.origin = s.origin AND w.time_hour = s.time_hour AND w.wind_speed > 20) AS windy
  FROM silver_flights s)
SELECT make_date(year::INT, month::INT, 1) AS month, origin, destination, (SELECT name FROM silver_airports a WHERE a.faa = destination) AS airport,
       count(*) AS flights, count(DISTINCT carrier) AS carriers, sum(aircraft_seats)::BIGINT AS seats,
       sum(arr_delay)::DOUBLE / count(arr_delay) AS mean_arr_delay,
       sum(arr_delay) FILTER (windy)::DOUBLE / nullif(count(arr_delay) FILTER (windy), 0) AS mean_arr_delay_in_wind
FROM seated GROUP BY year, month, origin, destination;
