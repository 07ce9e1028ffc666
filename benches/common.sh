# What the side-by-side scripts share; sourced. Both servers run on the same machine with empty data
# directories, fsync on, 256 MB of page cache. A measurement of one is followed by the same of the
# other, so that a disturbance from outside meets both.
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
engines="postgres omendb"
pg_port=${PG_PORT:-5597} omen_port=${OMEN_PORT:-5596}
work=$(mktemp -d "${TMPDIR:-/tmp}/omendb-bench-XXXXXX")
chmod 755 "$work"
declare -A pid
wrong=0

# Starts an engine and makes it the one that is used.
start() { # engine
    if [[ $1 == postgres ]]; then
        PG_ORACLE_DIR=$work PGCONF="shared_buffers=256MB max_wal_size=4GB" \
            "$here/../tests/record/postgres.sh" start "$pg_port" >/dev/null
        pid[$1]=$(head -1 "$work/omendb-oracle-$pg_port/data/postmaster.pid")
    else
        "$OMENDB" serve --data-dir "$work/omendb" --listen "127.0.0.1:$omen_port" --max-connections 1100 \
            >"$work/omendb.log" 2>&1 &
        pid[$1]=$!
    fi
    use "$1"
    for _ in $(seq 1000); do
        psql -XqAtc 'SELECT 1' >/dev/null 2>&1 && return
        sleep 0.01
    done
    echo "$1 does not start" >&2
    cat "$work/omendb.log" >&2 || true
    return 1
}

# From here on, commands go to this engine.
use() { # engine
    [[ $1 == postgres ]] && PGPORT=$pg_port || PGPORT=$omen_port
    export PGPORT
    server_pid=${pid[$1]}
}

stop() { # engine
    if [[ $1 == postgres ]]; then
        PG_ORACLE_DIR=$work "$here/../tests/record/postgres.sh" stop "$pg_port"
    else
        kill "${pid[$1]}" 2>/dev/null || true
        wait "${pid[$1]}" 2>/dev/null || true
        pid[$1]=
    fi
}

clean_up() {
    [[ -z ${pid[omendb]:-} ]] || kill -9 "${pid[omendb]}" 2>/dev/null || true
    PG_ORACLE_DIR=$work "$here/../tests/record/postgres.sh" drop "$pg_port" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

# A wrong answer: the script goes on, so that one sees what else is wrong, and fails at its end.
wrong() { # what
    echo "WRONG: $*" >&2
    wrong=$((wrong + 1))
}

# Fails unless every engine gives the same answer.
same() { # what, SQL
    local engine first= answer
    for engine in $engines; do
        use "$engine"
        answer=$(psql -XqAtc "$2" 2>&1) || true
        [[ $engine == postgres ]] && first=$answer
        [[ $answer == "$first" && -n $answer ]] || wrong "$1: $answer instead of $first"
    done
}

finish() { ((wrong == 0)) || { echo "$wrong wrong answers" >&2; exit 1; }; }

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
machine() {
    echo "$(nproc) cores, $(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo)," \
        "Linux $(uname -r | cut -d. -f1,2), $("$PG_BIN/postgres" --version | grep -o 'PostgreSQL) [0-9.]*' | tr -d ')'), $(date -u +%F)"
}
