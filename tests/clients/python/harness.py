"""What the Python client tests share: where the server is, and how checks are counted."""

import os
import sys
import traceback

HOST = os.environ.get("PGHOST", "127.0.0.1")
PORT = int(os.environ.get("PGPORT", "5432"))
USER = os.environ.get("PGUSER", "postgres")
DATABASE = os.environ.get("PGDATABASE", "postgres")

CHECKS = []


def check(function):
    """Registers a check; its docstring or name is what is reported."""
    CHECKS.append(function)
    return function


def describe(function):
    return (function.__doc__ or function.__name__).strip().splitlines()[0]


def report(results):
    """Prints what failed and the line that tests/run counts; the exit status."""
    failed = [(name, why) for name, why in results if why]
    for name, why in failed:
        print(f"    FAILED: {name}\n{why}", flush=True)
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def failure():
    lines = traceback.format_exc().splitlines()
    return "\n".join("        " + line for line in lines[-6:])


def run(connect):
    """Runs each check with a connection of its own."""
    results = []
    for function in CHECKS:
        try:
            with connect() as connection:
                function(connection)
            results.append((describe(function), None))
        except Exception:
            results.append((describe(function), failure()))
    sys.exit(report(results))
