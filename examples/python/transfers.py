"""Bank transfers from eight threads, each a SERIALIZABLE transaction.

Two transactions that would not fit any order of their own are not both let through: one fails with
SQLSTATE 40001 (or 40P01, a deadlock), and is simply run again.

Run:    pip install 'psycopg[binary]'
        python examples/python/transfers.py
Prints:
        200 transfers done
        sum of all balances: 10000.00
        no balance below zero: True
"""

import os
import random
import threading
import time

import psycopg
from psycopg import errors

ACCOUNTS = 10
THREADS = 8
TRANSFERS = 25  # by each thread
ATTEMPTS = 50

SERVER = {
    "host": os.environ.get("PGHOST", "127.0.0.1"),
    "port": os.environ.get("PGPORT", "5432"),
    "user": os.environ.get("PGUSER", "postgres"),
    "dbname": "postgres",
}


def connect():
    connection = psycopg.connect(**SERVER)
    connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    return connection


def retrying(connection, work):
    """Runs `work` in a transaction, again when it lost against others."""
    for attempt in range(ATTEMPTS):
        try:
            with connection.transaction():
                return work(connection)
        except (errors.SerializationFailure, errors.DeadlockDetected):
            time.sleep(random.uniform(0, 0.001 * 2 ** min(attempt, 6)))
    raise RuntimeError(f"no success in {ATTEMPTS} attempts")


def transfer(connection, source, target, amount):
    """Moves money, if it is there."""
    balance = connection.execute("SELECT balance FROM py_account WHERE id = %s", (source,)).fetchone()[0]
    amount = min(amount, balance)
    connection.execute("UPDATE py_account SET balance = balance - %s WHERE id = %s", (amount, source))
    connection.execute("UPDATE py_account SET balance = balance + %s WHERE id = %s", (amount, target))


def worker(seed, done):
    choice = random.Random(seed)
    with connect() as connection:
        for _ in range(TRANSFERS):
            source, target = choice.sample(range(ACCOUNTS), 2)
            amount = choice.randint(1, 300)
            retrying(connection, lambda c: transfer(c, source, target, amount))
            done.append(1)


def main():
    with connect() as connection:
        connection.execute("DROP TABLE IF EXISTS py_account")
        connection.execute("CREATE TABLE py_account (id int PRIMARY KEY, balance numeric(12,2) NOT NULL CHECK (balance >= 0))")
        connection.cursor().executemany("INSERT INTO py_account VALUES (%s, 1000)", [(i,) for i in range(ACCOUNTS)])
    done = []
    threads = [threading.Thread(target=worker, args=(seed, done)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with connect() as connection:
        total, least = connection.execute("SELECT sum(balance), min(balance) FROM py_account").fetchone()
    print(f"{len(done)} transfers done")
    print(f"sum of all balances: {total}")
    print(f"no balance below zero: {least >= 0}")


main()
