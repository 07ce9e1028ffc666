#!/usr/bin/env bash
# What a server costs that does nothing: memory, start on an existing database, 1,000 connections.
source "$(dirname "$0")/common.sh"
connections=${CONNECTIONS:-1000}
declare -A idle began held first
for engine in postgres omendb; do
    start $engine
    psql -Xqc 'CREATE TABLE t (id int PRIMARY KEY, v text)' -c "INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 100000) g"
    stop $engine
    t=$(date +%s%N)
    start $engine
    began[$engine]=$((($(date +%s%N) - t) / 1000000))
    sleep 2
    idle[$engine]=$(rss_mb)
    first[$engine]=$(python3 - "$PGPORT" "$connections" "$server_pid" <<'PY'
import select, socket, struct, sys, time
port, count, pid = map(int, sys.argv[1:])
body = struct.pack("!i", 196608) + b"user\0postgres\0database\0postgres\0\0"
hello = struct.pack("!i", len(body) + 4) + body
start, open_ones = time.monotonic(), []
def until_ready(s):
    data = b""
    while not data.endswith(b"Z\0\0\0\x05I"):
        part = s.recv(65536)
        if not part:
            raise SystemExit(f"connection {len(open_ones) + 1} was closed: {data[-200:]!r}")
        data += part
for _ in range(count):
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    s.sendall(hello)
    until_ready(s)
    open_ones.append(s)
took = time.monotonic() - start
query = b"Q" + struct.pack("!i", 4 + 9) + b"SELECT 1\0"
for s in open_ones:
    s.sendall(query)
for s in open_ones:
    until_ready(s)
import subprocess
pids = [pid] + [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]
pss = 0
for p in pids:
    try:
        pss += sum(int(l.split()[1]) for l in open(f"/proc/{p}/smaps_rollup") if l.startswith("Pss:"))
    except OSError:
        pass
print(f"{took * 1000:.0f} {pss // 1024}")
PY
)
    held[$engine]=${first[$engine]#* } first[$engine]=${first[$engine]% *}
    stop $engine
done
echo "Idle; $(machine)"
echo
echo "| | PostgreSQL | OmenDB |"
echo "|---|--:|--:|"
echo "| start to first answer, existing database (psql included) | ${began[postgres]} ms | ${began[omendb]} ms |"
echo "| memory, idle (PSS) | ${idle[postgres]} MB | ${idle[omendb]} MB |"
echo "| $connections connections opened in | ${first[postgres]} ms | ${first[omendb]} ms |"
echo "| memory with $connections connections (PSS) | ${held[postgres]} MB | ${held[omendb]} MB |"
