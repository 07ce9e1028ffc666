-- Analytical queries; the order of each result is fixed. Answers in answers.txt come from PostgreSQL.

-- 1. Flights, delays and distance by carrier.
SELECT a.name, count(*) AS flights, round(avg(f.dep_delay), 2) AS delay, sum(f.distance) AS miles
FROM flights f JOIN airlines a USING (carrier) GROUP BY a.name ORDER BY flights DESC, a.name;

-- 2. Busiest days.
SELECT make_date(year, month, day) AS d, count(*) FROM flights GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5;

-- 3. Destinations that are no known airport.
SELECT dest, count(*) FROM flights f WHERE NOT EXISTS (SELECT 1 FROM airports a WHERE a.faa = f.dest) GROUP BY dest ORDER BY dest;

-- 4. Worst month of each origin.
SELECT origin, month, delay FROM (
    SELECT origin, month, round(avg(arr_delay), 3) AS delay,
        rank() OVER (PARTITION BY origin ORDER BY avg(arr_delay) DESC) AS r
    FROM flights GROUP BY origin, month) x WHERE r = 1 ORDER BY origin;

-- 5. Cancelled flights a month.
SELECT month, count(*) FILTER (WHERE dep_time IS NULL) AS cancelled, count(*) FROM flights GROUP BY month ORDER BY month;

-- 6. Manufacturers by flights.
SELECT coalesce(p.manufacturer, 'unknown') AS maker, count(*) AS n, count(DISTINCT f.tailnum) AS planes
FROM flights f LEFT JOIN planes p ON p.tailnum = f.tailnum GROUP BY 1 ORDER BY n DESC, maker LIMIT 8;

-- 7. Does wind delay?
SELECT width_bucket(w.wind_speed, 0, 40, 4) AS wind, count(*), round(avg(f.dep_delay), 2)
FROM flights f JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
WHERE w.wind_speed IS NOT NULL GROUP BY 1 ORDER BY 1;

-- 8. Routes with the most seats flown.
SELECT f.origin, f.dest, sum(p.seats) AS seats FROM flights f JOIN planes p USING (tailnum)
GROUP BY f.origin, f.dest HAVING count(*) > 1000 ORDER BY seats DESC, f.origin, f.dest LIMIT 10;

-- 9. Running total of flights over the first week.
SELECT day, n, sum(n) OVER (ORDER BY day) FROM (SELECT day, count(*) AS n FROM flights WHERE month = 1 AND day <= 7 GROUP BY day) x ORDER BY day;

-- 10. Late aircraft: planes above their carrier's average delay.
WITH c AS (SELECT carrier, avg(arr_delay) AS delay FROM flights GROUP BY carrier),
     t AS (SELECT carrier, tailnum, avg(arr_delay) AS delay, count(*) AS n FROM flights WHERE tailnum IS NOT NULL GROUP BY carrier, tailnum)
SELECT t.carrier, count(*) FROM t JOIN c ON c.carrier = t.carrier WHERE t.n >= 50 AND t.delay > c.delay + 10 GROUP BY t.carrier ORDER BY 2 DESC, 1;

-- 11. Totals by origin and month, with sub-totals.
SELECT origin, month, count(*) FROM flights WHERE month <= 2 GROUP BY ROLLUP (origin, month) ORDER BY origin NULLS LAST, month NULLS LAST;

-- 12. Fastest flight of each of the longest routes.
SELECT DISTINCT ON (distance) distance, carrier, flight, tailnum, air_time FROM flights
WHERE air_time IS NOT NULL AND distance > 2500 ORDER BY distance DESC, air_time, id LIMIT 6;

-- 13. Percentiles of the delay.
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY dep_delay), percentile_cont(0.95) WITHIN GROUP (ORDER BY dep_delay), max(dep_delay) FROM flights;

-- 14. Airports reached from all three origins by five carriers or more.
SELECT a.faa, a.name FROM airports a WHERE (SELECT count(DISTINCT origin) FROM flights f WHERE f.dest = a.faa) = 3
AND a.faa IN (SELECT dest FROM flights GROUP BY dest HAVING count(DISTINCT carrier) >= 5) ORDER BY a.faa;

-- 15. One flight by its key, and a range of keys.
SELECT id, carrier, flight, time_hour FROM flights WHERE id = 123456 OR id BETWEEN 336775 AND 336780 ORDER BY id;

-- 16. By hour of the day, in New York's time.
SELECT extract(hour FROM time_hour AT TIME ZONE 'America/New_York') AS h, count(*), round(avg(dep_delay), 2) FROM flights GROUP BY h ORDER BY h;
