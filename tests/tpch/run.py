"""TPC-H's 22 queries, with DuckDB's answers to the same data as the expectation: of rows as they were loaded, of
sealed rows, of both together after the refresh functions, and after sealing once more.

    run.py    against the server in PGHOST, PGPORT, which should not seal by itself; SCALE (0.02)
"""

import os
import sys
import tempfile
import time

import duckdb
import psycopg

import tpch_data as tpch


class Check:
    def __init__(self, server, database, scale):
        self.server, self.database = server, database
        self.queries = list(tpch.queries(scale))
        self.passed = self.failed = 0

    def result(self, name, wrong):
        if wrong is None:
            self.passed += 1
        else:
            self.failed += 1
            print(f"    FAILED: {name}\n{wrong}", flush=True)

    def all(self, state):
        """Every query, and how many rows every table has."""
        start = time.monotonic()
        for table in tpch.TABLES:
            sql = f"SELECT count(*) FROM {table}"
            self.one(f"{state}: rows of {table}", tpch.Query(table, [0], sql))
        for query in self.queries:
            self.one(f"{state}: {query.title}", query)
        print(f"    {state}: {time.monotonic() - start:.1f} s", flush=True)

    def one(self, name, query):
        expected = self.database.execute(query.sql).fetchall()
        try:
            got = self.server.execute(query.sql).fetchall()
        except psycopg.Error as why:
            self.result(name, str(why))
        else:
            self.result(name, tpch.difference(query, expected, got))


def main():
    scale = os.environ.get("SCALE", "0.02")
    database = duckdb.connect(config={"threads": 2})
    with psycopg.connect("", autocommit=True) as server:
        check = Check(server, database, scale)
        with tempfile.TemporaryDirectory() as directory:
            tpch.generate(scale, directory, "csv")
            tpch.load_duckdb(database, directory)
            server.execute(tpch.SCHEMA)
            tpch.load_server(server, directory)
        check.all("loaded")
        server.execute("VACUUM")
        check.all("sealed")

        tpch.refresh_server(server, *tpch.refresh_duckdb(database))
        check.all("refreshed")
        server.execute("VACUUM")
        check.all("sealed again")
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


sys.exit(main())
