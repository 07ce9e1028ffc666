#!/usr/bin/env bash
# TPC-H at scale factor SCALE (1): its 22 queries alone, and while 8 clients write to the tables that they read,
# RATE (200) transactions a second; side by side, as markdown tables. Fails when a row that was committed is not
# counted by the next query of another connection, when a query sees half a transaction, or when the answers are
# not PostgreSQL's after the writers have ended. Needs python3 with the packages of tests/clients (tests/run tools
# makes an environment).
source "$(dirname "$0")/tpch_servers.sh"
load_tpch
echo "TPC-H at scale factor $SCALE, alone and beside writers, in ms; $(machine)"
echo
"$PYTHON" "$here/mixed.py" "$pg_port" "$omen_port" || wrong "see above"
for engine in $engines; do stop $engine; done
finish
