#!/usr/bin/env bash
# Every table of RESULTS.md, on standard output, in about half an hour; with --write, also into
# RESULTS.md. Goes on when a script finds a wrong answer, and fails at the end.
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failed=0
part() { # title, settings and script
    printf '\n## %s\n\n`%s`\n\n' "$1" "${*:2}"
    env "${@:2:$#-2}" "$here/$(basename "${!#}")" || { failed=1; printf '\nWrong answers or failures: see the output of the script.\n'; }
}
run() {
    part "Transactions" SECONDS_EACH=6 benches/pgbench.sh
    part "COPY" benches/copy.sh
    part "Analytics" benches/nycflights.sh
    part "TPC-H" benches/tpch.sh
    part "Queries beside writers" benches/mixed.sh
    part "Latency" benches/latency.sh
    part "A table of events" benches/events.sh
    part "At rest, and long results" benches/idle.sh
}
run >"$out"
cat "$out"
if [[ ${1:-} == --write ]]; then
    awk -v tables="$out" '
        /^<!-- end of what benches\/all.sh writes -->$/ { inside = 0 }
        !inside { print }
        /^<!-- what benches\/all.sh writes -->$/ { inside = 1; while ((getline line < tables) > 0) print line; print "" }
    ' "$here/RESULTS.md" >"$out.new" && cat "$out.new" >"$here/RESULTS.md" && rm "$out.new"
fi
exit $failed
