#!/usr/bin/env bash
# TPC-H at scale factor SCALE (1), its 22 queries on two threads each, warm, the best of RUNS (5): OmenDB and
# PostgreSQL through the wire, DuckDB in the client's process, on Parquet files and on tables of its own. As
# markdown tables, with the bytes on disk. Fails when an answer is not DuckDB's. Needs python3 with the packages
# of tests/clients (tests/run tools makes an environment).
#
# All have TPC-H's primary keys. PostgreSQL also has indexes on foreign keys and dates, and the memory and
# settings that suit it; the others have nothing besides.
PGCONF="shared_buffers=2GB effective_cache_size=8GB work_mem=256MB maintenance_work_mem=512MB max_wal_size=8GB random_page_cost=1.1 jit=off"
export OMENDB_WORKER_THREADS=2 OMENDB_COLUMN_CACHE=4GB OMENDB_QUERY_MEMORY=4GB
source "$(dirname "$0")/common.sh"
need_python
run() { "$PYTHON" "$here/tpch.py" "$@"; }
declare -A loaded

echo "data" >&2
run data "$work" >&2
for engine in $engines; do
    echo "$engine" >&2
    start $engine
    loaded[$engine]=$(run load "$PGPORT" "$work")
done
use postgres
psql -Xq <<'SQL'
CREATE INDEX ON lineitem (l_partkey, l_suppkey);
CREATE INDEX ON lineitem (l_suppkey);
CREATE INDEX ON lineitem (l_shipdate);
CREATE INDEX ON orders (o_custkey);
CREATE INDEX ON orders (o_orderdate);
CREATE INDEX ON partsupp (ps_suppkey);
CREATE INDEX ON customer (c_nationkey);
CREATE INDEX ON supplier (s_nationkey);
CREATE INDEX ON nation (n_regionkey);
VACUUM ANALYZE;
SQL
use omendb
psql -Xqc VACUUM
echo "TPC-H, scale factor ${SCALE:-1}, best of ${RUNS:-5}, in ms; $(machine), $(duckdb_version)"
echo
run table "$work" "$pg_port" "$omen_port" || wrong "answers differ"
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
