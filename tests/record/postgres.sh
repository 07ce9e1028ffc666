#!/usr/bin/env bash
# Starts or stops the PostgreSQL 15 that expectations are recorded from and benchmarks compare with.
#
#   tests/record/postgres.sh start [PORT]    initialises it at first; prints host:port
#   tests/record/postgres.sh stop [PORT]
#   tests/record/postgres.sh drop [PORT]     stops it and removes its data
#
# C.UTF-8 collation and UTC, as OmenDB has; fsync is on. Extra settings go into PGCONF ("a=b c=d").
set -euo pipefail

verb=${1:-start}
port=${2:-5599}
bin=${PG_BIN:-/usr/lib/postgresql/15/bin}
dir=${PG_ORACLE_DIR:-/tmp}/omendb-oracle-$port

[[ -x $bin/postgres ]] || { echo "PostgreSQL 15 is not in $bin: apt-get install postgresql-15" >&2; exit 1; }

# PostgreSQL refuses to run as root.
as_postgres() {
    if [[ $(id -u) == 0 ]]; then
        (cd / && runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

running() { as_postgres "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1; }

case $verb in
start)
    if [[ ! -f $dir/data/PG_VERSION ]]; then
        mkdir -p "$dir"
        [[ $(id -u) == 0 ]] && chown postgres "$dir"
        as_postgres "$bin/initdb" -D "$dir/data" --locale=C.UTF-8 --encoding=UTF8 --auth=trust \
            --username=postgres >"$dir/initdb.log" 2>&1
        as_postgres tee -a "$dir/data/postgresql.conf" >/dev/null <<CONF
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'ISO, MDY'
max_connections = 1100
unix_socket_directories = '$dir'
listen_addresses = '127.0.0.1'
log_min_messages = fatal
log_min_error_statement = panic
CONF
    fi
    options="-p $port"
    for setting in ${PGCONF:-}; do options+=" -c $setting"; done
    running || as_postgres "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -o "$options" -w start >/dev/null
    echo "127.0.0.1:$port"
    ;;
stop) ! running || as_postgres "$bin/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null ;;
drop)
    ! running || as_postgres "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null
    rm -rf "$dir"
    ;;
*)
    sed -n '2,8p' "$0" >&2
    exit 2
    ;;
esac
