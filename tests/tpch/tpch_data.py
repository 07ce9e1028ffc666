"""TPC-H: its data, its queries, its refresh functions, and when two answers are the same."""

import collections
import decimal
import math
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SCHEMA = (HERE / "schema.sql").read_text()
TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]
# Floats are compared to this relative difference: the order in which they are added is open.
TOLERANCE = 1e-9
# Of 32 order keys TPC-H uses the first 8; what is inserted later has others.
KEYS_USED, KEYS = 8, 32
# The refresh functions add and remove one order of so many times KEYS_USED.
REFRESHED = 5

Query = collections.namedtuple("Query", "title order sql")


def read_queries(path):
    """Queries of a file, each under a title and the places of the columns that the answer is ordered by."""
    heads = r"^-- (\d+\. [^\n]*?) \[([\d ]*)\]\n(.*?;)$"
    for title, order, sql in re.findall(heads, path.read_text(), re.M | re.S):
        yield Query(title, [int(place) - 1 for place in order.split()], sql)


def queries(scale):
    """The 22 queries. `order`: places, from 0, of the columns that the answer is ordered by."""
    # Query 11 asks for a share of everything that depends on how much everything is. Of little, nothing has it.
    share = decimal.Decimal("0.0001") / max(decimal.Decimal(str(scale)), 1)
    for query in read_queries(HERE / "queries.sql"):
        yield query._replace(sql=query.sql.replace("* 0.0001", f"* {share:f}"))


def generate(scale, directory, kind):
    """Writes TABLE.csv or TABLE.parquet files, as tpchgen-cli makes them."""
    command = [pathlib.Path(sys.executable).parent / "tpchgen-cli", kind]
    subprocess.run([*command, "--scale-factor", str(scale), "--output-dir", directory], check=True)


def load_duckdb(database, directory):
    """Tables of the CSV files in a DuckDB connection."""
    database.execute(SCHEMA)
    for table in TABLES:
        database.execute(f"COPY {table} FROM '{directory}/{table}.csv' (FORMAT csv, HEADER)")


def copy_csv(connection, table, path):
    """Rows of a CSV file into a table of a server."""
    with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv, HEADER)") as copy, open(path, "rb") as rows:
        while part := rows.read(1 << 20):
            copy.write(part)


def load_server(connection, directory):
    """Tables of the CSV files in a server."""
    for table in TABLES:
        copy_csv(connection, table, f"{directory}/{table}.csv")


def refresh_duckdb(database):
    """RF1 and RF2 on a DuckDB connection. Returns the rows of the new orders, those of their lines, and the keys
    of the orders that are gone. A new order is an old one under a key that TPC-H leaves free."""
    def old(table, key):
        return f"FROM {table} WHERE {key} % {REFRESHED * KEYS} = 1"

    new = [
        database.execute(f"SELECT * REPLACE ({key} + {KEYS_USED} AS {key}) {old(table, key)} ORDER BY ALL").fetchall()
        for table, key in (("orders", "o_orderkey"), ("lineitem", "l_orderkey"))
    ]
    gone = f"% {REFRESHED * KEYS} = 2"
    keys = database.execute(f"SELECT o_orderkey FROM orders WHERE o_orderkey {gone} ORDER BY ALL").fetchall()
    for table, key in (("orders", "o_orderkey"), ("lineitem", "l_orderkey")):
        database.execute(f"INSERT INTO {table} SELECT * REPLACE ({key} + {KEYS_USED} AS {key}) {old(table, key)}")
        database.execute(f"DELETE FROM {table} WHERE {key} {gone}")
    return *new, keys


def refresh_server(connection, orders, lines, gone):
    """The same on a server, statement by statement in one transaction."""
    with connection.transaction(), connection.pipeline(), connection.cursor() as cursor:
        for table, rows in (("orders", orders), ("lineitem", lines)):
            cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)
        for table, key in (("lineitem", "l_orderkey"), ("orders", "o_orderkey")):
            cursor.executemany(f"DELETE FROM {table} WHERE {key} = %s", gone)


def same_value(one, other):
    """Numbers as numbers, and exactly unless one of them is a float."""
    if isinstance(one, float) or isinstance(other, float):
        if one is None or other is None:
            return False
        return math.isclose(float(one), float(other), rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return one == other


def same_row(one, other):
    return len(one) == len(other) and all(map(same_value, one, other))


def difference(query, expected, got):
    """What is wrong with an answer, or None. Rows that are equal in what the query orders by may change places."""
    if len(expected) != len(got):
        return f"{len(got)} rows instead of {len(expected)}"

    def key(row):
        return tuple(row[place] for place in query.order)

    for want, have in zip(expected, got):
        if not same_row(key(want), key(have)):
            return f"out of order: {have} instead of {want}"
    # Floats are no part of what tells rows apart.
    columns = enumerate(zip(*expected, *got))
    exact = [at for at, column in columns if not any(isinstance(value, float) for value in column)]

    def shown(row):
        return [f"{row[at]:f}" if isinstance(row[at], decimal.Decimal) else str(row[at]) for at in exact]

    for want, have in zip(sorted(expected, key=shown), sorted(got, key=shown)):
        if not same_row(want, have):
            return f"{have} instead of {want}"
    return None
