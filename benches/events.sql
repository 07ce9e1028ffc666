-- Queries as people ask them of a table of events. Behind a title stand the columns that the answer is ordered by.

-- 1. Rows. []
SELECT count(*) FROM events;

-- 2. Rows of other than the usual type. []
SELECT count(*) FROM events WHERE event_type <> 'view';

-- 3. Sum, count, average. []
SELECT sum(duration_ms), count(*), avg(screen_width) FROM events;

-- 4. Distinct users. []
SELECT count(DISTINCT user_id) FROM events;

-- 5. Distinct search phrases. []
SELECT count(DISTINCT search_phrase) FROM events;

-- 6. First and last event. []
SELECT min(event_time), max(event_time) FROM events;

-- 7. Types. [2 1]
SELECT event_type, count(*) FROM events GROUP BY event_type ORDER BY 2 DESC, 1;

-- 8. Countries by users. [2 1]
SELECT country, count(DISTINCT user_id) FROM events GROUP BY country ORDER BY 2 DESC, 1 LIMIT 10;

-- 9. Sums by operating system and browser. [3 1 2]
SELECT os, browser, count(*), sum(duration_ms), avg(screen_width), count(DISTINCT country)
FROM events GROUP BY os, browser ORDER BY 3 DESC, 1, 2 LIMIT 10;

-- 10. Frequent search phrases. [2 1]
SELECT search_phrase, count(*) FROM events WHERE search_phrase <> '' GROUP BY search_phrase ORDER BY 2 DESC, 1 LIMIT 10;

-- 11. Users with the most events. [2 1]
SELECT user_id, count(*) FROM events GROUP BY user_id ORDER BY 2 DESC, 1 LIMIT 10;

-- 12. Users and what they search for. [3 1 2]
SELECT user_id, search_phrase, count(*) FROM events GROUP BY user_id, search_phrase ORDER BY 3 DESC, 1, 2 LIMIT 10;

-- 13. Frequent pages. [2 1]
SELECT page_url, count(*) FROM events GROUP BY page_url ORDER BY 2 DESC, 1 LIMIT 10;

-- 14. Sessions with the most revenue. [2 1]
SELECT session_id, sum(revenue) FROM events WHERE revenue IS NOT NULL GROUP BY session_id ORDER BY 2 DESC, 1 LIMIT 10;

-- 15. Pages with a word in them. []
SELECT count(*) FROM events WHERE page_url LIKE '%checkout%';

-- 16. Phrases of the pages with a word in them. [2 1]
SELECT search_phrase, count(*), min(page_url) FROM events
WHERE page_url LIKE '%checkout%' AND search_phrase <> '' GROUP BY search_phrase ORDER BY 2 DESC, 1 LIMIT 10;

-- 17. The latest events. [2 1]
SELECT event_id, event_time, user_id, page_url FROM events ORDER BY event_time DESC, event_id LIMIT 10;

-- 18. The latest searches. [2 1]
SELECT event_id, event_time, search_phrase FROM events WHERE search_phrase <> '' ORDER BY event_time DESC, event_id LIMIT 10;

-- 19. The longest events. [2 1]
SELECT event_id, duration_ms FROM events ORDER BY duration_ms DESC, event_id LIMIT 10;

-- 20. A day, hour by hour. [1]
SELECT date_trunc('hour', event_time), count(*), count(DISTINCT user_id) FROM events
WHERE event_time >= '2026-01-15' AND event_time < '2026-01-16' GROUP BY 1 ORDER BY 1;

-- 21. Pages of an hour. [2 1]
SELECT page_url, count(*) FROM events
WHERE event_time >= '2026-01-20 12:00' AND event_time < '2026-01-20 13:00' GROUP BY page_url ORDER BY 2 DESC, 1 LIMIT 10;

-- 22. One user's rows. [2 1]
SELECT * FROM events WHERE user_id = 4242 ORDER BY event_time, event_id;

-- 23. One user's pages. [2 1]
SELECT page_url, count(*) FROM events WHERE user_id = 17 GROUP BY page_url ORDER BY 2 DESC, 1 LIMIT 10;

-- 24. One event. []
SELECT * FROM events WHERE event_id = 1234567;

-- 25. Revenue of a country by city. [2 1]
SELECT city, sum(revenue), count(*) FROM events WHERE country = 'NZ' GROUP BY city ORDER BY 2 DESC, 1 LIMIT 10;

-- 26. Long addresses. [2 1]
SELECT country, avg(length(page_url)), count(*) FROM events WHERE referrer <> '' GROUP BY country HAVING count(*) > 1000
ORDER BY 2 DESC, 1;
