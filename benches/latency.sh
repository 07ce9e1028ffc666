#!/usr/bin/env bash
# How long CLIENTS (32) clients wait: for rows by their keys, for ranges of 100 rows, and for TPC-H's aggregates
# at scale factor SCALE (0.1); side by side, as a markdown table. Fails when an answer that is given under the load
# is not PostgreSQL's. Needs python3 with the packages of tests/clients (tests/run tools makes an environment).
#
# pgbench asks with prepared statements, SECONDS_EACH (8) seconds each, and writes down how long every query took
# (--log). First every client asks again as soon as it has its answer, so that the two cores are always busy and a
# query waits for the others. Then queries come at random moments, half as many as PostgreSQL could answer; what one
# waits before it is sent counts.
: "${SCALE:=0.1}"
source "$(dirname "$0")/tpch_servers.sh"
clients=${CLIENTS:-32} each=${SECONDS_EACH:-8}
workloads=${WORKLOADS:-point range aggregates}
pgbench=$PG_BIN/pgbench
declare -A tps late
latency() { "$PYTHON" "$here/latency.py" "$@"; }

# Sets `scripts`: pgbench's arguments.
scripts_of() { # workload
    local script
    scripts=()
    for script in "$work/$1"-*.sql; do scripts+=(-f "$script"); done
}

measure() { # key, workload, seconds, pgbench arguments…
    local key=$1 output
    scripts_of "$2"
    rm -f "$work"/log.*
    output=$("$pgbench" -n -M prepared -c "$clients" -j 2 -T "$3" --log --log-prefix="$work/log" "${scripts[@]}" "${@:4}" 2>&1) ||
        { wrong "$key: $output"; return; }
    grep -q 'failed transactions: 0 (' <<<"$output" || wrong "$key: failed transactions"
    tps[$key]=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$output")
    # The third column is the latency in microseconds. Half of them, 99 of 100, and all were not longer than:
    late[$key]=$(cat "$work"/log.* | cut -d' ' -f3 | sort -n | awk '
        { took[NR] = $1 }
        function ms(share) { at = int(NR * share); return sprintf("%.2f", took[at < 1 ? 1 : at] / 1000) }
        END { print ms(0.5) " | " ms(0.99) " | " ms(1) }')
    echo "$key: ${tps[$key]} queries/s; ${late[$key]} ms" >&2
}

load_tpch
for engine in $engines; do
    use $engine
    "$pgbench" -i -s 10 -q >/dev/null 2>&1
    psql -Xqc VACUUM
done
latency scripts "$work"

# What was answered to one more client while the others asked is what PostgreSQL answers. This also warms up.
for workload in $workloads; do
    scripts_of "$workload"
    for engine in $engines; do
        use $engine
        "$pgbench" -n -M prepared -c "$clients" -j 2 -T 5 "${scripts[@]}" >/dev/null 2>"$work/errors" &
        load=$!
        sleep 0.5
        [[ $engine == postgres ]] || latency check "$workload" "$pg_port" "$omen_port" >&2 || wrong "$workload: answers differ"
        wait $load || wrong "$workload, $engine: $(cat "$work/errors")"
    done
done

for workload in $workloads; do
    seconds=$each
    [[ $workload != aggregates ]] || seconds=$((each * 2))
    for engine in $engines; do
        use $engine
        measure "$engine $workload full" "$workload" "$seconds"
    done
    rate=$(awk -v tps="${tps[postgres $workload full]}" 'BEGIN { printf "%.1f", tps / 2 }')
    for engine in $engines; do
        use $engine
        measure "$engine $workload half" "$workload" "$seconds" -R "$rate"
    done
done
for engine in $engines; do stop $engine; done

declare -A title=([point]="a row by its key" [range]="100 rows by a range of keys" [aggregates]="TPC-H $(latency names), at scale factor $SCALE")
declare -A aim=([point]=1 [range]=10 [aggregates]=100)
echo "Latency with $clients clients of pgbench, prepared statements, every query's time written down; $(machine)"
echo
echo "*full*: a client asks again as soon as it has its answer, and so waits for all others. *half*: queries come at"
echo "random moments, half as many as PostgreSQL answers at full load; what one waits to be sent counts."
echo
echo "| query | load | PostgreSQL queries/s | p50 ms | p99 ms | max ms | OmenDB queries/s | p50 ms | p99 ms | max ms | aim: p99 ms |"
echo "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
for workload in $workloads; do
    for load in full half; do
        p="postgres $workload $load" o="omendb $workload $load"
        printf '| %s | %s | %.0f | %s | %.0f | %s | < %s |\n' "${title[$workload]}" "$load" "${tps[$p]}" "${late[$p]}" "${tps[$o]}" "${late[$o]}" "${aim[$workload]}"
    done
done
finish
