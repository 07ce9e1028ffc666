"""What benches/latency.sh asks, and whether the answers are right.

    latency.py names                              which of TPC-H's queries it takes
    latency.py scripts DIR                        writes pgbench's scripts: DIR/WORKLOAD-NUMBER.sql
    latency.py check WORKLOAD POSTGRES OMENDB     asks the servers at these ports the same for CHECK_SECONDS (4)

SCALE (0.1) is TPC-H's scale factor. The other queries want pgbench's tables at scale 10.
"""

import os
import pathlib
import random
import sys
import time

import side_by_side  # which also says where the next one is
import tpch_data as tpch

SCALE, CHECK_SECONDS = os.environ.get("SCALE", "0.1"), float(os.environ.get("CHECK_SECONDS", "4"))
ACCOUNTS, RANGE = 1_000_000, 100
AGGREGATES = [int(number) for number in os.environ.get("AGGREGATES", "1 4 6 12 14 19").split()]

POINT = "SELECT aid, bid, abalance, filler FROM pgbench_accounts WHERE aid = {key}"
RANGE_OF = f"SELECT aid, bid, abalance, filler FROM pgbench_accounts WHERE aid BETWEEN {{key}} AND {{key}} + {RANGE - 1} ORDER BY aid"


def aggregates():
    return [query for at, query in enumerate(tpch.queries(SCALE), 1) if at in AGGREGATES]


def names():
    *most, last = AGGREGATES
    print(", ".join(map(str, most)), "and", last)


def scripts(directory):
    for workload, sql in (("point", POINT), ("range", RANGE_OF)):
        keys = f"\\set key random(1, {ACCOUNTS - RANGE + 1})\n"
        (pathlib.Path(directory) / f"{workload}-1.sql").write_text(keys + sql.format(key=":key") + ";\n")
    for number, query in zip(AGGREGATES, aggregates()):
        (pathlib.Path(directory) / f"aggregates-{number}.sql").write_text(query.sql + "\n")


def check(workload, postgres, omendb):
    by_key = {"point": POINT, "range": RANGE_OF}.get(workload)
    queries = [tpch.Query(workload, [0], by_key.format(key="%(key)s"))] if by_key else aggregates()
    systems = [side_by_side.server(port) for port in (postgres, omendb)]
    compared, until = 0, time.monotonic() + CHECK_SECONDS
    while time.monotonic() < until or compared < len(queries):
        query = queries[compared % len(queries)]
        values = {"key": random.randint(1, ACCOUNTS - RANGE + 1)} if by_key else None
        expected, got = (system.execute(query.sql, values, prepare=True).fetchall() for system in systems)
        if (reason := tpch.difference(query, expected, got)) is not None:
            print(f"WRONG: {query.title}: {values}: {reason}", file=sys.stderr)
            return 1
        compared += 1
    print(f"{workload}: {compared} answers compared")


verb, *arguments = sys.argv[1:]
sys.exit({"names": names, "scripts": scripts, "check": check}[verb](*arguments))
