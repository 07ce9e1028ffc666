"""Live analytics: a dashboard asks over all flights while an operations desk changes them.

The desk delays American's flights of 4 July by an hour, twenty to a transaction. The dashboard's two
questions are asked at one snapshot (REPEATABLE READ), so its figures always belong together, and it
never waits for the desk, nor the desk for it.

Run:    pip install 'psycopg[binary]'
        examples/flights/load
        python examples/python/flights.py
Prints:
        before: 78 flights, mean delay 1.94 minutes
        every dashboard saw whole transactions: True
        after: 78 flights, mean delay 61.94 minutes
        worst carriers of the day: AA 61.94, B6 9.43, F9 8.00
"""

import os
import threading

import psycopg

BATCH = 20

SERVER = {
    "host": os.environ.get("PGHOST", "127.0.0.1"),
    "port": os.environ.get("PGPORT", "5432"),
    "user": os.environ.get("PGUSER", "postgres"),
    "dbname": "postgres",
}
THAT_DAY = "month = 7 AND day = 4 AND dep_delay IS NOT NULL"


def delay_flights():
    """The desk: one short transaction after the other."""
    with psycopg.connect(**SERVER, autocommit=True) as connection:
        ids = connection.execute(f"SELECT id FROM flights WHERE carrier = 'AA' AND {THAT_DAY} ORDER BY id").fetchall()
        for start in range(0, len(ids), BATCH):
            with connection.transaction():
                for (flight,) in ids[start : start + BATCH]:
                    connection.execute("UPDATE flights SET dep_delay = dep_delay + 60 WHERE id = %s", (flight,))


def dashboard(connection):
    """All delays of the day, in sum and by carrier, at one snapshot."""
    with connection.transaction():
        total = connection.execute(f"SELECT sum(dep_delay) FROM flights WHERE {THAT_DAY}").fetchone()[0]
        carriers = connection.execute(
            f"SELECT carrier, count(*), sum(dep_delay), round(avg(dep_delay), 2) FROM flights WHERE {THAT_DAY} GROUP BY carrier ORDER BY 4 DESC, 1"
        ).fetchall()
    return total, carriers


def american(carriers):
    return next(row for row in carriers if row[0] == "AA")


def main():
    with psycopg.connect(**SERVER) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        total, carriers = dashboard(connection)
        _, count, start, mean = american(carriers)
        print(f"before: {count} flights, mean delay {mean} minutes")

        desk = threading.Thread(target=delay_flights)
        desk.start()
        whole = True
        running = True
        while running:
            running = desk.is_alive()
            total, carriers = dashboard(connection)
            added = american(carriers)[2] - start
            done = added // 60
            whole = whole and added % 60 == 0 and (done % BATCH == 0 or done == count)
            whole = whole and total == sum(row[2] for row in carriers)
        desk.join()
        print(f"every dashboard saw whole transactions: {whole}")

        _, count, _, mean = american(carriers)
        print(f"after: {count} flights, mean delay {mean} minutes")
        print("worst carriers of the day: " + ", ".join(f"{row[0]} {row[3]}" for row in carriers[:3]))

    # As it was.
    with psycopg.connect(**SERVER) as connection:
        connection.execute(f"UPDATE flights SET dep_delay = dep_delay - 60 WHERE carrier = 'AA' AND {THAT_DAY}")


main()
