#!/usr/bin/env bash
# A table of ROWS (10000000) events, 20 columns wide, its primary key in the order of time, with an index on users:
# queries as of a dashboard, on two threads each, warm, the best of RUNS (3). OmenDB through the wire, DuckDB in the
# client's process on a table of its own with the same keys. As a markdown table. Fails when an answer is not
# DuckDB's. Needs python3 with the packages of tests/clients (tests/run tools makes an environment).
export OMENDB_WORKER_THREADS=2 OMENDB_COLUMN_CACHE=6GB OMENDB_QUERY_MEMORY=4GB
source "$(dirname "$0")/common.sh"
need_python
run() { "$PYTHON" "$here/events.py" "$@"; }

echo "data" >&2
run data "$work" >&2
start omendb
echo "loading" >&2
took=$(run load "$omen_port" "$work")
psql -Xqc VACUUM
echo "${ROWS:-10000000} events, best of ${RUNS:-3}, in ms; $(machine), $(duckdb_version)"
echo
run table "$work" "$omen_port" || wrong "answers differ"
stop omendb
echo
echo "OmenDB loaded and indexed them in $took s. MB on disk: CSV $(mb "$work/events.csv")," \
    "DuckDB $(mb "$work/events.duckdb"), OmenDB $(mb "$work/omendb")."
finish
