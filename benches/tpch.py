"""TPC-H side by side.

    tpch.py data DIR                    writes the data as CSV
    tpch.py duckdb DIR                  writes it as Parquet too, and as a DuckDB database
    tpch.py load PORT DIR               loads the CSV files into a server; prints the seconds that took
    tpch.py table DIR POSTGRES OMENDB   times the queries on the servers at these ports and on DuckDB

SCALE (1) is TPC-H's scale factor, RUNS (5) of how many runs the best counts.
"""

import os
import sys
import time

import side_by_side  # which also says where the next one is
import tpch_data as tpch

SCALE, RUNS = os.environ.get("SCALE", "1"), int(os.environ.get("RUNS", "5"))


def data(directory):
    tpch.generate(SCALE, directory, "csv")


def duckdb(directory):
    tpch.generate(SCALE, directory, "parquet")
    with side_by_side.duckdb_file(f"{directory}/tpch.duckdb") as database:
        tpch.load_duckdb(database, directory)
        database.execute("CHECKPOINT")


def load(port, directory):
    start = time.monotonic()
    with side_by_side.server(port) as server:
        server.execute(tpch.SCHEMA)
        tpch.load_server(server, directory)
    print(f"{time.monotonic() - start:.1f}")


def table(directory, postgres, omendb):
    parquet = side_by_side.duckdb_file()
    for name in tpch.TABLES:
        parquet.execute(f"CREATE VIEW {name} AS SELECT * FROM '{directory}/{name}.parquet'")
    systems = {
        "PostgreSQL": side_by_side.postgres(postgres),
        "DuckDB, Parquet": parquet,
        "DuckDB": side_by_side.duckdb_file(f"{directory}/tpch.duckdb"),
        "OmenDB": side_by_side.server(omendb),
    }
    return side_by_side.table(list(tpch.queries(SCALE)), systems, RUNS, tpch.difference)


verb, *arguments = sys.argv[1:]
sys.exit({"data": data, "duckdb": duckdb, "load": load, "table": table}[verb](*arguments))
