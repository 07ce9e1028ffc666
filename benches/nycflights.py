"""Times the queries of tests/nycflights on one connection.

    nycflights.py RUNS                 title<TAB>best milliseconds, for the server in PGHOST, PGPORT
    nycflights.py --table PG OMENDB    two such lists as a markdown table, with the geometric mean
"""

import math
import pathlib
import sys
import time


def queries():
    title, sql = None, []
    for line in (pathlib.Path(__file__).parent / "../tests/nycflights/queries.sql").read_text().splitlines():
        if line.startswith("-- ") and line[3:4].isdigit():
            title, sql = line[3:], []
        elif title:
            sql.append(line)
            if line.endswith(";"):
                yield title, "\n".join(sql)
                title = None


def measure(runs):
    import psycopg

    with psycopg.connect("", autocommit=True) as connection:
        for title, sql in queries():
            best = math.inf
            try:
                for _ in range(runs + 1):
                    start = time.perf_counter()
                    connection.execute(sql).fetchall()
                    best = min(best, time.perf_counter() - start)
                print(f"{title}\t{best * 1000:.2f}", flush=True)
            except psycopg.Error as why:
                print(f"{title}\tfailed: {why.diag.message_primary}", flush=True)


def read(path):
    return dict(line.rstrip("\n").split("\t", 1) for line in open(path, encoding="utf-8"))


def table(postgres, omendb):
    print("| query | PostgreSQL | OmenDB | ratio |\n|---|--:|--:|--:|")
    ratios = []
    for title, slow in postgres.items():
        fast = omendb.get(title, "missing")
        try:
            ratios.append(float(slow) / float(fast))
            last = f"**{ratios[-1]:.1f}×**"
        except ValueError:
            last = "–"
        print(f"| {title} | {slow} | {fast} | {last} |")
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"| geometric mean of {len(ratios)} | | | **{mean:.1f}×** |")


if sys.argv[1] == "--table":
    table(read(sys.argv[2]), read(sys.argv[3]))
else:
    measure(int(sys.argv[1]))
