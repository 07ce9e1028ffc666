#!/usr/bin/env bash
# COPY of ROWS rows (default 1,000,000) in text and CSV into a table with a primary key, side by
# side, as a markdown table. The better of two runs.
source "$(dirname "$0")/common.sh"
rows=${ROWS:-1000000}
awk -v n="$rows" 'BEGIN { for (i = 1; i <= n; i++) printf "%d\t%d\t%.2f\tname of row %d\t2024-01-%02d 12:00:00\n", i, i * 7919 % 1000003, i / 7, i, i % 28 + 1 }' >"$work/rows.txt"
tr '\t' ',' <"$work/rows.txt" >"$work/rows.csv"
declare -A best
for engine in postgres omendb; do
    start $engine
    for format in text csv; do
        [[ $format == text ]] && file=$work/rows.txt || file=$work/rows.csv
        for _ in 1 2; do
            psql -Xq -c 'DROP TABLE IF EXISTS load' \
                -c 'CREATE TABLE load (id int PRIMARY KEY, k int, amount numeric(12,2), name text, at timestamp)'
            began=$(date +%s%N)
            psql -Xqc "\\copy load FROM '$file' WITH (FORMAT $format)"
            took=$((($(date +%s%N) - began) / 1000000))
            [[ -n ${best[$engine $format]:-} ]] && ((best[$engine $format] <= took)) || best[$engine $format]=$took
            [[ $(psql -XqAtc 'SELECT count(*) FROM load') == "$rows" ]] || { echo "rows are missing" >&2; exit 1; }
        done
        echo "$engine $format: ${best[$engine $format]} ms" >&2
    done
    stop $engine
done
echo "COPY of $rows rows, 5 columns, primary key; $(machine)"
echo
echo "| format | PostgreSQL rows/s | OmenDB rows/s | ratio |"
echo "|---|--:|--:|--:|"
for format in text csv; do
    p=$((rows * 1000 / best[postgres $format])) o=$((rows * 1000 / best[omendb $format]))
    echo "| $format | $p | $o | **$(ratio "$o" "$p")×** |"
done
