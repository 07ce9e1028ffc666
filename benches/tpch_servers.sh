# Sourced instead of common.sh by what measures TPC-H on both servers; SCALE (1) is its scale factor.
#
# All have TPC-H's primary keys. PostgreSQL also has indexes on foreign keys and dates, and the memory and
# settings that suit it; OmenDB has nothing besides.
PGCONF="shared_buffers=2GB effective_cache_size=8GB work_mem=256MB maintenance_work_mem=512MB max_wal_size=8GB random_page_cost=1.1 jit=off"
export OMENDB_WORKER_THREADS=2 OMENDB_COLUMN_CACHE=4GB OMENDB_QUERY_MEMORY=4GB
export SCALE=${SCALE:-1}
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_python
tpch() { "$PYTHON" "$here/tpch.py" "$@"; }
declare -A loaded

# Makes the data, starts both servers, and loads them.
load_tpch() {
    local engine
    echo "data" >&2
    tpch data "$work" >&2
    for engine in $engines; do
        echo "$engine" >&2
        start $engine
        loaded[$engine]=$(tpch load "$PGPORT" "$work")
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
}
