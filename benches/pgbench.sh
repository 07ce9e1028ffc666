#!/usr/bin/env bash
# pgbench side by side: TPS, latency, and the server's CPU time a transaction, as a markdown table.
# Fails when a transaction fails, when a SELECT gives another row than was asked for, or when the
# sums of TPC-B do not agree.
#
#   benches/pgbench.sh    SCALE=10 SECONDS_EACH=10 RUNS="prepared:1 prepared:8 … simple:8 …"
source "$(dirname "$0")/common.sh"
scale=${SCALE:-10} each=${SECONDS_EACH:-10}
runs=${RUNS:-prepared:1 prepared:8 prepared:32 simple:1 simple:8 simple:32 extended:1 extended:8 extended:32}
workloads=${WORKLOADS:-select tpcb insert}
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
    grep -q 'failed transactions: 0 (' <<<"$output" || wrong "$key: failed transactions"
    tps[$key]=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$output")
    late[$key]=$(sed -n 's/^latency average = \([0-9.]*\).*/\1/p' <<<"$output")
    cpu[$key]=$(awk -v t=$((after - before)) -v n="$done" 'BEGIN { printf "%.1f", t * 10000 / n }')
    transactions=$done
    printf '%-36s %10s TPS %8s ms %8s µs CPU\n' "$key" "${tps[$key]}" "${late[$key]}" "${cpu[$key]}" >&2
}

# The four sums of TPC-B agree, and every transaction has left a row.
check_tpcb() { # engine
    local answer
    answer=$(psql -XqAtc "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
        AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
        AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history),
        count(*) FROM pgbench_history" 2>&1) || true
    [[ $answer == "t|${written[$1]}" ]] || wrong "$1: the sums of TPC-B and its rows are $answer, not t|${written[$1]}"
}

for engine in $engines; do
    start $engine
    "$pgbench" -i -s "$scale" -q >/dev/null 2>&1
    psql -Xqc 'CREATE TABLE one (id bigserial PRIMARY KEY, v text)'
done
same "pgbench_accounts" "SELECT count(*), sum(aid), sum(bid), sum(abalance) FROM pgbench_accounts"
declare -A written=([postgres]=0 [omendb]=0) inserted=([postgres]=0 [omendb]=0)

# Every answer of the SELECT that is measured is the row that was asked for.
cat >"$work/checked.sql" <<'SQL'
\set aid random(1, 100000 * :scale)
SELECT aid AS found, abalance AS balance FROM pgbench_accounts WHERE aid = :aid \gset
\if :found <> :aid
SELECT 'another row than the one asked for'::int;
\endif
SQL
for engine in $engines; do
    use $engine
    output=$("$pgbench" -n -T 1 -c 8 -M prepared -D "scale=$scale" -f "$work/checked.sql" 2>&1) &&
        grep -q 'failed transactions: 0 (' <<<"$output" || wrong "$engine: a SELECT gives another row: $output"
done

echo "INSERT INTO one (v) VALUES ('durable');" >"$work/insert.sql"
for run in $runs; do
    mode=${run%:*} n=${run#*:}
    for workload in $workloads; do
        for engine in $engines; do
            use $engine
            case $workload in
            select) measure "$engine select $run" -S -M "$mode" -c "$n" ;;
            tpcb)
                measure "$engine tpcb $run" -M "$mode" -c "$n"
                written[$engine]=$((written[$engine] + transactions))
                ;;
            insert)
                [[ $mode == prepared ]] || continue
                measure "$engine insert $run" -M prepared -c "$n" -f "$work/insert.sql"
                inserted[$engine]=$((inserted[$engine] + transactions))
                ;;
            esac
        done
    done
done
for engine in $engines; do
    use $engine
    check_tpcb $engine
    answer=$(psql -XqAtc 'SELECT count(*), count(DISTINCT id) FROM one' 2>&1) || true
    [[ $answer == "${inserted[$engine]}|${inserted[$engine]}" ]] || wrong "$engine: $answer rows inserted instead of ${inserted[$engine]}"
    stop $engine
done

echo "pgbench, scale $scale, $each s each; $(machine)"
echo
echo "| workload | mode | clients | PostgreSQL TPS | OmenDB TPS | ratio | PostgreSQL CPU µs | OmenDB CPU µs | ratio | PostgreSQL ms | OmenDB ms |"
echo "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
for workload in $workloads; do
    for run in $runs; do
        p="postgres $workload $run" o="omendb $workload $run"
        [[ -n ${tps[$p]:-} ]] || continue
        echo "| $workload | ${run%:*} | ${run#*:} | ${tps[$p]%.*} | ${tps[$o]%.*} | **$(ratio "${tps[$o]}" "${tps[$p]}")×** | ${cpu[$p]} | ${cpu[$o]} | $(ratio "${cpu[$o]}" "${cpu[$p]}") | ${late[$p]} | ${late[$o]} |"
    done
done
finish
