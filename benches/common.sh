# What the side-by-side scripts share; sourced. Both servers run one after the other on the same
# machine with empty data directories, fsync on, 256 MB of page cache.
#
# Needs: OMENDB (path of a release build; default target/release/omendb), PostgreSQL 15 in PG_BIN
# (default /usr/lib/postgresql/15/bin; it runs as user postgres when this runs as root).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${OMENDB:=${CARGO_TARGET_DIR:-$here/../target}/release/omendb}"
: "${PG_BIN:=/usr/lib/postgresql/15/bin}"
export PG_BIN
[[ -x $OMENDB ]] || { echo "no release build at $OMENDB: cargo build --release" >&2; exit 1; }
export PGHOST=127.0.0.1 PGUSER=postgres PGDATABASE=postgres PGTZ=UTC
pg_port=${PG_PORT:-5597} omen_port=${OMENDB_PORT:-5596}
work=$(mktemp -d "${TMPDIR:-/tmp}/omendb-bench-XXXXXX")
chmod 755 "$work"
omen_pid=

start() { # engine: sets PGPORT and server_pid
    if [[ $1 == postgres ]]; then
        PG_ORACLE_DIR=$work PGCONF="shared_buffers=256MB max_wal_size=4GB" \
            "$here/../tests/record/postgres.sh" start "$pg_port" >/dev/null
        export PGPORT=$pg_port
        server_pid=$(head -1 "$work/omendb-oracle-$pg_port/data/postmaster.pid")
    else
        "$OMENDB" serve --data-dir "$work/omendb" --listen "127.0.0.1:$omen_port" --max-connections 1100 \
            >"$work/omendb.log" 2>&1 &
        omen_pid=$! server_pid=$omen_pid
        export PGPORT=$omen_port
    fi
    for _ in $(seq 1000); do
        psql -XqAtc 'SELECT 1' >/dev/null 2>&1 && return
        sleep 0.01
    done
    echo "$1 does not start" >&2
    return 1
}

stop() { # engine
    if [[ $1 == postgres ]]; then
        PG_ORACLE_DIR=$work "$here/../tests/record/postgres.sh" stop "$pg_port"
    else
        kill "$omen_pid" 2>/dev/null || true
        wait "$omen_pid" 2>/dev/null || true
        omen_pid=
    fi
}

clean_up() {
    [[ -z $omen_pid ]] || kill -9 "$omen_pid" 2>/dev/null || true
    PG_ORACLE_DIR=$work "$here/../tests/record/postgres.sh" drop "$pg_port" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

# Processes of the server: itself and its children.
processes() { echo "$server_pid" $(pgrep -P "$server_pid" || true); }

# CPU time that the server has used so far, ended children included, in ticks of 10 ms.
cpu_ticks() {
    local total=0 p ticks
    for p in $(processes); do
        # utime, stime; of the server itself also those of its ended children.
        ticks=$(sed 's/.*) //' "/proc/$p/stat" 2>/dev/null | awk -v own="$p" -v main="$server_pid" \
            '{ t = $12 + $13; if (own == main) t += $14 + $15; print t }') || true
        total=$((total + ${ticks:-0}))
    done
    echo "$total"
}

# Resident memory in MB: shared pages of processes counted once (PSS).
rss_mb() {
    local p
    for p in $(processes); do cat "/proc/$p/smaps_rollup" 2>/dev/null || true; done |
        awk '/^Pss:/ { kb += $2 } END { printf "%.0f", kb / 1024 }'
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }
machine() { echo "$(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(uname -sr), $("$PG_BIN/postgres" --version), $(date -u +%F)"; }
