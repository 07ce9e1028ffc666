"""Times the queries of tests/nycflights on one connection.

    nycflights.py RUNS OUT             for each query its title, the best milliseconds, and its answer,
                                       of the server in PGHOST, PGPORT
    nycflights.py --table PG OMENDB    two such lists as a markdown table, with the geometric mean;
                                       fails when an answer of the second is not that of the first
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


def measure(runs, out):
    import psycopg

    with psycopg.connect("", autocommit=True) as connection, open(out, "w", encoding="utf-8") as lines:
        for title, sql in queries():
            best, answer = math.inf, None
            try:
                for _ in range(runs + 1):
                    start = time.perf_counter()
                    answer = connection.execute(sql).fetchall()
                    best = min(best, time.perf_counter() - start)
                # As text: what the server sent, not what the client made of it.
                print(f"{title}\t{best * 1000:.2f}\t{[tuple(map(str, row)) for row in answer]}", file=lines)
            except psycopg.Error as why:
                print(f"{title}\tfailed\t{why.diag.message_primary}", file=lines)


def read(path):
    return {line[0]: line[1:] for line in (line.rstrip("\n").split("\t", 2) for line in open(path, encoding="utf-8"))}


def table(postgres, omendb):
    print("| query | PostgreSQL | OmenDB | ratio |\n|---|--:|--:|--:|")
    ratios, wrong = [], 0
    for title, (slow, expected) in postgres.items():
        fast, answer = omendb.get(title, ("missing", ""))
        if answer != expected:
            wrong += 1
            print(f"{title}: {answer[:500]}\n  instead of {expected[:500]}", file=sys.stderr)
            fast = "wrong"
        try:
            ratios.append(float(slow) / float(fast))
            last = f"**{ratios[-1]:.1f}×**"
        except ValueError:
            last = "–"
        print(f"| {title} | {slow} | {fast} | {last} |")
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"| geometric mean of {len(ratios)} | | | **{mean:.1f}×** |")
    return 1 if wrong else 0


if sys.argv[1] == "--table":
    sys.exit(table(read(sys.argv[2]), read(sys.argv[3])))
measure(int(sys.argv[1]), sys.argv[2])
