#!/usr/bin/env bash
# pgbench side by side: TPS, latency, and the server's CPU time a transaction, as a markdown table.
#
#   benches/pgbench.sh           SCALE=10 SECONDS_EACH=10 CLIENTS="1 8 32" MODES="prepared simple extended"
source "$(dirname "$0")/common.sh"
scale=${SCALE:-10} each=${SECONDS_EACH:-10} clients=${CLIENTS:-1 8 32} modes=${MODES:-prepared simple extended}
pgbench=$PG_BIN/pgbench
declare -A tps cpu late

measure() { # key, pgbench arguments…
    local key=$1 before after output done
    shift
    before=$(cpu_ticks)
    output=$("$pgbench" -n -j 2 -T "$each" "$@" 2>&1) || { echo "$output" >&2; return 1; }
    # PostgreSQL counts the CPU of a connection when its process has ended.
    sleep 0.3
    after=$(cpu_ticks)
    done=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' <<<"$output")
    grep -q 'failed transactions: 0 (' <<<"$output" || { echo "failed transactions: $key" >&2; return 1; }
    tps[$key]=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$output")
    late[$key]=$(sed -n 's/^latency average = \([0-9.]*\).*/\1/p' <<<"$output")
    cpu[$key]=$(awk -v t=$((after - before)) -v n="$done" 'BEGIN { printf "%.1f", t * 10000 / n }')
    printf '%-36s %10s TPS %8s ms %8s µs CPU\n' "$key" "${tps[$key]}" "${late[$key]}" "${cpu[$key]}" >&2
}

for engine in postgres omendb; do
    start $engine
    "$pgbench" -i -s "$scale" -q >/dev/null 2>&1
    for mode in $modes; do
        for n in $clients; do
            measure "$engine select $mode $n" -S -M "$mode" -c "$n"
            measure "$engine tpcb $mode $n" -M "$mode" -c "$n"
        done
    done
    psql -Xqc 'CREATE TABLE one (id bigserial PRIMARY KEY, v text)'
    echo "INSERT INTO one (v) VALUES ('durable');" >"$work/insert.sql"
    measure "$engine insert prepared 1" -M prepared -c 1 -f "$work/insert.sql"
    measure "$engine insert prepared 8" -M prepared -c 8 -f "$work/insert.sql"
    stop $engine
done

echo "pgbench, scale $scale, $each s each; $(machine)"
echo
echo "| workload | mode | clients | PostgreSQL TPS | OmenDB TPS | ratio | PostgreSQL CPU µs | OmenDB CPU µs | ratio | PostgreSQL ms | OmenDB ms |"
echo "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
row() {
    local p="postgres $1 $2 $3" o="omendb $1 $2 $3"
    echo "| $1 | $2 | $3 | ${tps[$p]%.*} | ${tps[$o]%.*} | **$(ratio "${tps[$o]}" "${tps[$p]}")×** | ${cpu[$p]} | ${cpu[$o]} | $(ratio "${cpu[$o]}" "${cpu[$p]}") | ${late[$p]} | ${late[$o]} |"
}
for mode in $modes; do for n in $clients; do row select "$mode" "$n"; done; done
for mode in $modes; do for n in $clients; do row tpcb "$mode" "$n"; done; done
row insert prepared 1
row insert prepared 8
