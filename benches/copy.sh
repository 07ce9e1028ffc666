#!/usr/bin/env bash
# COPY of ROWS rows (default 1,000,000) in text and CSV into a table with a primary key, and out
# again, side by side, as a markdown table. The better of RUNS (2). Fails when a loaded table or an
# output differs from PostgreSQL's.
source "$(dirname "$0")/common.sh"
rows=${ROWS:-1000000} runs=${RUNS:-2}
awk -v n="$rows" 'BEGIN { for (i = 1; i <= n; i++) printf "%d\t%d\t%.2f\tname of row %d\t2024-01-%02d 12:00:00\n", i, i * 7919 % 1000003, i / 7, i, i % 28 + 1 }' >"$work/rows.txt"
tr '\t' ',' <"$work/rows.txt" >"$work/rows.csv"
declare -A best used
declare -A file=([text]=$work/rows.txt [csv]=$work/rows.csv)

timed() { # key, SQL
    local before began took ticks
    before=$(cpu_ticks) began=$(date +%s%N)
    psql -Xq -v ON_ERROR_STOP=1 -c "$2" || wrong "$1"
    took=$((($(date +%s%N) - began) / 1000000))
    # PostgreSQL counts the CPU of a connection when its process has ended.
    sleep 0.5
    ticks=$(($(cpu_ticks) - before))
    if [[ -z ${best[$1]:-} ]] || ((took < best[$1])); then
        best[$1]=$took
    fi
    if [[ -z ${used[$1]:-} ]] || ((ticks * 10 < used[$1])); then
        used[$1]=$((ticks * 10))
    fi
    echo "$1: $took ms, CPU $((ticks * 10)) ms" >&2
}

for engine in $engines; do start $engine; done
for format in text csv; do
    for _ in $(seq "$runs"); do
        for engine in $engines; do
            use $engine
            psql -Xq -c 'DROP TABLE IF EXISTS load' \
                -c 'CREATE TABLE load (id int PRIMARY KEY, k int, amount numeric(12,2), name text, at timestamp)'
            timed "$engine $format in" "\\copy load FROM '${file[$format]}' WITH (FORMAT $format)"
        done
        same "what COPY loaded" "SELECT count(*), count(DISTINCT id), sum(id), sum(k), sum(amount), min(name), max(name), min(at), max(at) FROM load"
        for engine in $engines; do
            use $engine
            timed "$engine $format out" "\\copy (SELECT * FROM load ORDER BY id) TO '$work/$engine.out' WITH (FORMAT $format)"
        done
        cmp -s "$work/postgres.out" "$work/omendb.out" || wrong "COPY TO differs"
        cmp -s "${file[$format]}" "$work/omendb.out" || wrong "COPY TO differs from what was loaded"
    done
done
for engine in $engines; do stop $engine; done
echo "COPY of $rows rows, 5 columns, primary key; $(machine)"
echo
echo "| COPY | format | PostgreSQL rows/s | OmenDB rows/s | ratio | PostgreSQL CPU µs/row | OmenDB CPU µs/row |"
echo "|---|---|--:|--:|--:|--:|--:|"
for way in in out; do
    for format in text csv; do
        p="postgres $format $way" o="omendb $format $way"
        a=$((rows * 1000 / best[$p])) b=$((rows * 1000 / best[$o]))
        echo "| $way | $format | $a | $b | **$(ratio "$b" "$a")×** | $(ratio $((used[$p] * 1000)) "$rows") | $(ratio $((used[$o] * 1000)) "$rows") |"
    done
done
finish
