#!/usr/bin/env bash
# TPC-H at scale factor SCALE (1), its 22 queries on two threads each, warm, the best of RUNS (5): OmenDB and
# PostgreSQL through the wire, DuckDB in the client's process, on Parquet files and on tables of its own. As
# markdown tables, with the bytes on disk. Fails when an answer is not DuckDB's. Needs python3 with the packages
# of tests/clients (tests/run tools makes an environment).
source "$(dirname "$0")/tpch_servers.sh"
load_tpch
tpch duckdb "$work" >&2
echo "TPC-H, scale factor $SCALE, best of ${RUNS:-5}, in ms; $(machine), $(duckdb_version)"
echo
tpch table "$work" "$pg_port" "$omen_port" || wrong "answers differ"
echo
use postgres
postgres_mb=$(psql -XqAtc 'SELECT round(pg_database_size(current_database()) / 1e6)')
for engine in $engines; do stop $engine; done
echo "| the same data | MB on disk | loaded in s |"
echo "|---|--:|--:|"
echo "| CSV | $(mb "$work"/*.csv) | |"
echo "| PostgreSQL, with its indexes | $postgres_mb | ${loaded[postgres]} |"
echo "| Parquet of tpchgen (Snappy) | $(mb "$work"/*.parquet) | |"
echo "| DuckDB | $(mb "$work/tpch.duckdb") | |"
echo "| OmenDB | $(mb "$work/omendb") | ${loaded[omendb]} |"
echo "| … its Parquet objects | $(mb $(find "$work/omendb" -name '*.parquet')) | |"
echo "| … its sidecars | $(mb $(find "$work/omendb" -name '*.side')) | |"
finish
