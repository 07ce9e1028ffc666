"""TPC-H's queries while others write to its tables.

    mixed.py POSTGRES OMENDB    measures both servers, in which TPC-H is loaded, and prints the tables

SCALE (1) is TPC-H's scale factor. Writers come RATE (200) times a second, for WRITE_SECONDS (60), the same ones to
both servers. PROBES (2000) rows are committed and looked for.
"""

import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import side_by_side  # which also says where the next one is
import tpch_data as tpch

SCALE = os.environ.get("SCALE", "1")
RATE, WRITE_SECONDS = int(os.environ.get("RATE", "200")), int(os.environ.get("WRITE_SECONDS", "60"))
PROBES = int(os.environ.get("PROBES", "2000"))
CLIENTS = 8
# A full scan finds a row by what has no index: one of so many probes.
SCANNED = 50
# Keys of new orders lie beyond all others, those of probes beyond them.
NEW_ORDERS, PROBE_ORDERS = 100_000_000, 1_000_000_000
# Rounds of all queries alone whose median counts, after one that does not; PostgreSQL's take long.
ROUNDS = {"PostgreSQL": 1, "OmenDB": 5}

# What every snapshot has in common: no money is made, and an order has its lines.
WHOLE = f"""
SELECT (SELECT sum(o_totalprice) FROM orders) + (SELECT sum(c_acctbal) FROM customer),
    (SELECT count(*) FROM lineitem WHERE l_orderkey >= {NEW_ORDERS})
    - 4 * (SELECT count(*) FROM orders WHERE o_orderkey >= {NEW_ORDERS} AND o_orderkey < {PROBE_ORDERS})"""

PROBE = "INSERT INTO orders VALUES (%s, 1, 'O', 0, '1998-08-02', '1-URGENT', 'probe', 0, '')"
BY_KEY = f"SELECT count(*) FROM orders WHERE o_orderkey > {PROBE_ORDERS}"
BY_SCAN = "SELECT count(*) FROM orders WHERE o_clerk = 'probe'"


class Writers:
    """pgbench's clients: the same transactions on every server, as its random numbers begin with a seed."""

    def __init__(self, port):
        sizes = {"orders": 1_500_000, "customers": 150_000, "parts": 200_000, "suppliers": 10_000}
        values = {name: int(size * float(SCALE)) for name, size in sizes.items()}
        values |= {"number": 0, "new_orders": NEW_ORDERS}
        self.each = RATE * WRITE_SECONDS // CLIENTS
        command = [f"{os.environ['PG_BIN']}/pgbench", "--no-vacuum", "--protocol=prepared", "--random-seed=1"]
        command += [f"--client={CLIENTS}", f"--rate={RATE}", f"--transactions={self.each}"]
        command += [f"--define={name}={value}" for name, value in values.items()]
        command += [f"--file={pathlib.Path(__file__).with_name('mixed.sql')}"]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen(command, env=os.environ | {"PGPORT": port}, **output)

    def go_on(self):
        return self.process.poll() is None

    def end(self):
        """Waits until all is written. Returns what a transaction took, in milliseconds."""
        output, _ = self.process.communicate()
        done = self.each * CLIENTS
        if f"processed: {done}/{done}" not in output or "failed transactions: 0 (" not in output:
            wrong("writers", output)
        latency = re.search(r"^latency average = ([0-9.]+)", output, re.M)
        return float(latency[1]) if latency else math.nan


failures = []


def wrong(what, why):
    failures.append(what)
    print(f"WRONG: {what}: {why}", file=sys.stderr)


def timed(connection, sql):
    start = time.perf_counter()
    connection.execute(sql).fetchall()
    return time.perf_counter() - start


def alone(connection, queries, rounds):
    """The median of each query's seconds."""
    times = [[timed(connection, query.sql) for query in queries] for _ in range(rounds + 1)]
    return [statistics.median(one[1:]) for one in zip(*times)]


def beside(name, port, connection, queries):
    """The same beside writers, for as long as they write, and what a transaction took them; how many probes
    were missed."""
    times, whole = [[] for _ in queries], connection.execute(WHOLE).fetchone()
    writers = Writers(port)
    missed = probe(port)
    while writers.go_on():
        for query, took in zip(queries, times):
            seconds = timed(connection, query.sql)
            if not writers.go_on():
                break
            took.append(seconds)
        if (seen := connection.execute(WHOLE).fetchone()) != whole:
            wrong(f"{name} shows half a transaction", f"{seen} instead of {whole}")
    print(f"{name}: {min(map(len, times))} rounds beside writers", file=sys.stderr)
    return [statistics.median(took) if took else math.nan for took in times], writers.end(), missed


def probe(port):
    """Commits rows on one connection and counts them at once on another. Returns how many were not counted."""
    missed = 0
    with side_by_side.server(port) as writer, side_by_side.server(port) as reader:
        for number in range(1, PROBES + 1):
            writer.execute(PROBE, [PROBE_ORDERS + number])
            counted = reader.execute(BY_SCAN if number % SCANNED == 0 else BY_KEY).fetchone()
            missed += counted != (number,)
    return missed


def table(queries, measured):
    """Prints for each query the times of each server, alone and beside writers."""
    columns = [f"{name}, alone | beside writers | slowdown" for name in measured]
    print("| query |", " | ".join(columns), "|")
    print("|---|" + "--:|" * 3 * len(measured))
    rows = [(query.title, [(one[at], other[at]) for one, other in measured.values()]) for at, query in enumerate(queries)]
    known = [pairs for _, pairs in rows if all(math.isfinite(other) for _, other in pairs)]
    if known:
        means = [tuple(side_by_side.mean(times) for times in zip(*pairs)) for pairs in zip(*known)]
        rows.append((f"geometric mean of {len(known)}", means))
    for title, pairs in rows:
        cells = [f"{side_by_side.cell(one)} | {side_by_side.cell(other)} | **{other / one:.2f}×**" for one, other in pairs]
        print(f"| {title} |", " | ".join(cells), "|")


def main(postgres, omendb):
    queries = list(tpch.queries(SCALE))
    ports = {"PostgreSQL": postgres, "OmenDB": omendb}
    connections = {"PostgreSQL": side_by_side.postgres(postgres), "OmenDB": side_by_side.server(omendb)}
    lonely = {name: alone(connection, queries, ROUNDS[name]) for name, connection in connections.items()}
    crowded = {name: beside(name, ports[name], connection, queries) for name, connection in connections.items()}
    for query in queries:
        expected, got = (connection.execute(query.sql).fetchall() for connection in connections.values())
        if (reason := tpch.difference(query, expected, got)) is not None:
            wrong(query.title, reason)
    table(queries, {name: (lonely[name], crowded[name][0]) for name in connections})
    print(f"\n{CLIENTS} writers, {RATE} transactions of 5 statements a second, 8 rows each. Beside the queries, a transaction took", end=" ")
    print(", ".join(f"{name} {latency:.1f} ms" for name, (_, latency, _) in crowded.items()) + ".")
    print(f"Of {PROBES} rows that were committed on one connection, and counted at once on another, while the others wrote:", end=" ")
    print(", ".join(f"{name} missed {missed}" for name, (_, _, missed) in crowded.items()) + ".")
    for name, (_, _, missed) in crowded.items():
        if missed:
            wrong(name, f"{missed} of {PROBES} committed rows were not counted by the next query")
    return 1 if failures else 0


sys.exit(main(*sys.argv[1:]))
