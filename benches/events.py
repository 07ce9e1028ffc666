"""A wide table of events, side by side.

    events.py data DIR           writes events.csv and a DuckDB database
    events.py load PORT DIR      loads the events into a server; prints the seconds that took
    events.py table DIR OMENDB   times the queries on the server at this port and on DuckDB

ROWS (10000000) is how many events, RUNS (3) of how many runs the best counts.
"""

import os
import pathlib
import sys
import time

import side_by_side  # which also says where the next one is
import tpch_data

ROWS, RUNS = int(os.environ.get("ROWS", "10000000")), int(os.environ.get("RUNS", "3"))
QUERIES = pathlib.Path(__file__).resolve().parent / "events.sql"

SCHEMA = """
CREATE TABLE events (
    event_id      bigint PRIMARY KEY,
    event_time    timestamp NOT NULL,
    received_at   timestamp NOT NULL,
    user_id       bigint NOT NULL,
    session_id    bigint NOT NULL,
    event_type    varchar NOT NULL,
    page_url      varchar NOT NULL,
    referrer      varchar NOT NULL,
    search_phrase varchar NOT NULL,
    country       varchar NOT NULL,
    city          varchar NOT NULL,
    device        varchar NOT NULL,
    os            varchar NOT NULL,
    browser       varchar NOT NULL,
    screen_width  integer NOT NULL,
    screen_height integer NOT NULL,
    duration_ms   integer NOT NULL,
    revenue       numeric(12,2),
    is_mobile     boolean NOT NULL,
    address       varchar NOT NULL
)"""
INDEX = "CREATE INDEX events_user ON events (user_id)"

# Events come in the order of their times, over January. `u(k)` is a number from 0 to 1 that depends on the event's
# number alone; a power of it makes small numbers frequent, as users, pages and cities are.
EVENTS = f"""
CREATE MACRO u(i, k) AS (hash(i * 32 + k) >> 11) / 9007199254740992.0;
CREATE MACRO pick(list, x) AS list[1 + CAST(floor(x * len(list)) AS integer)];
CREATE VIEW made AS
WITH numbered AS (
    SELECT i, CAST(floor(pow(u(i, 1), 3) * {max(ROWS // 20, 1000)}) AS bigint) AS user_id FROM range(1, {ROWS + 1}) r(i)
)
SELECT
    i AS event_id,
    TIMESTAMP '2026-01-01' + to_microseconds(CAST((i + u(i, 2)) * 31 * 86400e6 / {ROWS + 2} AS bigint)) AS event_time,
    event_time + to_milliseconds(CAST(20 + u(i, 3) * 3000 AS bigint)) AS received_at,
    user_id,
    user_id * 100 + CAST(floor(u(i, 4) * 12) AS bigint) AS session_id,
    pick(['view', 'view', 'view', 'view', 'click', 'click', 'search', 'cart', 'order', 'error'], u(i, 5)) AS event_type,
    'https://shop.example/' || pick(['product', 'product', 'category', 'search', 'checkout', 'help'], u(i, 6))
        || '/' || CAST(floor(pow(u(i, 7), 4) * 200000) AS bigint) || '?from=' || CAST(floor(u(i, 8) * 3) AS integer) AS page_url,
    CASE WHEN u(i, 9) < 0.6 THEN '' ELSE 'https://site' || CAST(floor(pow(u(i, 10), 3) * 5000) AS integer) || '.example/' END AS referrer,
    CASE WHEN u(i, 11) < 0.85 THEN '' ELSE
        pick(['red', 'blue', 'cheap', 'large', 'light', 'new', 'second hand', 'waterproof'], pow(u(i, 12), 2)) || ' '
        || pick(['shoes', 'tent', 'lamp', 'bicycle', 'jacket', 'watch', 'table', 'camera'], pow(u(i, 13), 2)) || ' '
        || CAST(floor(pow(u(i, 14), 3) * 3000) AS integer) END AS search_phrase,
    pick(['US', 'US', 'US', 'US', 'DE', 'DE', 'GB', 'GB', 'FR', 'JP', 'BR', 'IN', 'IN', 'ES', 'IT', 'NZ'],
        u(user_id, 15)) AS country,
    country || '-' || CAST(floor(pow(u(user_id, 16), 2) * 400) AS integer) AS city,
    pick(['phone', 'phone', 'phone', 'desktop', 'desktop', 'tablet'], u(user_id, 17)) AS device,
    pick(['Android', 'Android', 'iOS', 'iOS', 'Windows', 'Windows', 'macOS', 'Linux'], u(user_id, 18)) AS os,
    pick(['Chrome', 'Chrome', 'Chrome', 'Safari', 'Safari', 'Firefox', 'Edge'], u(user_id, 19)) AS browser,
    pick([360, 390, 414, 768, 1280, 1440, 1920, 2560], u(user_id, 20)) AS screen_width,
    pick([640, 800, 844, 1024, 800, 900, 1080, 1440], u(user_id, 20)) AS screen_height,
    CAST(floor(pow(u(i, 21), 6) * 600000) AS integer) AS duration_ms,
    CASE WHEN event_type = 'order' THEN CAST(pow(u(i, 22), 3) * 900 + 1 AS numeric(12,2)) END AS revenue,
    device <> 'desktop' AS is_mobile,
    '10.' || CAST(floor(u(user_id, 23) * 256) AS integer) || '.' || CAST(floor(u(user_id, 24) * 256) AS integer)
        || '.' || CAST(floor(u(i, 25) * 256) AS integer) AS address
FROM numbered
"""


def data(directory):
    with side_by_side.duckdb_file(f"{directory}/events.duckdb") as database:
        database.execute(SCHEMA)
        database.execute(EVENTS)
        database.execute("INSERT INTO events SELECT * FROM made ORDER BY event_id")
        database.execute(f"COPY events TO '{directory}/events.csv' (FORMAT csv, HEADER)")
        database.execute(INDEX)
        database.execute("CHECKPOINT")


def load(port, directory):
    start = time.monotonic()
    with side_by_side.server(port) as server:
        server.execute(SCHEMA)
        tpch_data.copy_csv(server, "events", f"{directory}/events.csv")
        server.execute(INDEX)
    print(f"{time.monotonic() - start:.1f}")


def table(directory, omendb):
    systems = {
        "DuckDB": side_by_side.duckdb_file(f"{directory}/events.duckdb"),
        "OmenDB": side_by_side.server(omendb),
    }
    return side_by_side.table(list(tpch_data.read_queries(QUERIES)), systems, RUNS, tpch_data.difference)


verb, *arguments = sys.argv[1:]
sys.exit({"data": data, "load": load, "table": table}[verb](*arguments))
