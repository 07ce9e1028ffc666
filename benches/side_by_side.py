"""Runs queries on several systems in turn, compares their answers, and prints the times as a markdown table."""

import math
import pathlib
import sys
import time

import duckdb
import psycopg

# TPC-H's queries, and when two answers are the same.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "../tests/tpch"))

# Of every system: PostgreSQL counts its leader and one worker, OmenDB what OMENDB_WORKER_THREADS says.
THREADS = 2


def server(port, *settings):
    """A connection to a server on this machine."""
    connection = psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", autocommit=True)
    for setting in settings:
        connection.execute(setting)
    return connection


def postgres(port):
    return server(port, f"SET max_parallel_workers_per_gather = {THREADS - 1}")


def duckdb_file(path=":memory:"):
    return duckdb.connect(str(path), config={"threads": THREADS})


def best_of(runs, execute):
    """The shortest time in seconds after one run that does not count, and the last answer."""
    best, answer = math.inf, None
    for run in range(runs + 1):
        start = time.perf_counter()
        answer = execute()
        if run:
            best = min(best, time.perf_counter() - start)
    return best, answer


def mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def cell(seconds):
    return f"{seconds * 1000:.2f}" if math.isfinite(seconds) else "wrong"


def faster(peer, own):
    ratio = peer / own
    return f"**{ratio:.1f}×**" if ratio >= 10 else f"**{ratio:.2f}×**"


def table(queries, systems, runs, difference):
    """Prints the table. `systems`: connections by name; the last one is compared with the others. The answers of
    the one before it are what all have to give. Returns the number of wrong ones."""
    names = list(systems)
    *peers, own = names
    expected_of = peers[-1]
    print("| query |", " | ".join(names), "|", " | ".join(f"to {peer}" for peer in peers), "|")
    print("|---|" + "--:|" * (len(names) + len(peers)))
    times, wrong = {name: [] for name in names}, 0
    for query in queries:
        answers = {}
        for name, connection in systems.items():
            try:
                best, answers[name] = best_of(runs, lambda: connection.execute(query.sql).fetchall())
            except (psycopg.Error, duckdb.Error) as why:
                best, answers[name] = math.inf, why
            times[name].append(best)
        for name in names:
            expected, got = answers[expected_of], answers[name]
            failed = isinstance(got, Exception) or isinstance(expected, Exception)
            reason = got if failed else difference(query, expected, got)
            if reason is not None:
                wrong += 1
                times[name][-1] = math.inf
                print(f"WRONG: {name}: {query.title}: {reason}", file=sys.stderr)
        row = {name: measured[-1] for name, measured in times.items()}
        cells = [cell(row[name]) for name in names] + [faster(row[peer], row[own]) for peer in peers]
        print(f"| {query.title} |", " | ".join(cells), "|", flush=True)
    right = [at for at in range(len(queries)) if all(math.isfinite(times[name][at]) for name in names)]
    if right:
        means = {name: mean([times[name][at] for at in right]) for name in names}
        cells = [cell(means[name]) for name in names] + [faster(means[peer], means[own]) for peer in peers]
        print(f"| geometric mean of {len(right)} |", " | ".join(cells), "|")
    return wrong
