#!/usr/bin/env bash
# Every table of RESULTS.md, on standard output, in about ten minutes. Goes on when one script fails,
# and fails at the end.
here=$(cd "$(dirname "$0")" && pwd)
failed=0
part() { # script and settings
    echo
    echo "\`$*\`"
    echo
    env "${@:1:$#-1}" "$here/$(basename "${!#}")" || failed=1
}
part SECONDS_EACH=6 benches/pgbench.sh
part benches/copy.sh
part benches/nycflights.sh
part benches/idle.sh
exit $failed
