#!/usr/bin/env bash
# What a server costs that does nothing: memory, start on an existing database, 1,000 connections;
# and what a result of ROWS (50,000,000) rows adds to its memory.
source "$(dirname "$0")/common.sh"
connections=${CONNECTIONS:-1000} rows=${ROWS:-50000000}
declare -A idle began opened held peak took
for engine in $engines; do
    start $engine
    psql -Xqc 'CREATE TABLE t (id int PRIMARY KEY, v text)' -c "INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 100000) g"
    stop $engine
    # The best of three: what else the machine does shall not count.
    for _ in 1 2 3; do
        t=$(date +%s%N)
        start $engine
        ms=$((($(date +%s%N) - t) / 1000000))
        [[ -n ${began[$engine]:-} ]] && ((began[$engine] <= ms)) || began[$engine]=$ms
        stop $engine
    done
    start $engine
    [[ $(psql -XqAtc 'SELECT count(*), sum(id) FROM t') == '100000|5000050000' ]] || wrong "$engine: rows are missing after a restart"
    stop $engine
    start $engine
    sleep 2
    idle[$engine]=$(rss_mb)
    result=$(python3 - "$PGPORT" "$connections" "$server_pid" <<'PY'
import socket, struct, subprocess, sys, time
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
    return data
for _ in range(count):
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    s.sendall(hello)
    until_ready(s)
    open_ones.append(s)
took = time.monotonic() - start
query = b"SELECT 40 + 2\0"
query = b"Q" + struct.pack("!i", 4 + len(query)) + query
for s in open_ones:
    s.sendall(query)
for s in open_ones:
    if b"D\0\0\0\x0c\0\x01\0\0\0\x0242" not in until_ready(s):
        raise SystemExit("a connection gives a wrong answer")
pids = [pid] + [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]
pss = 0
for p in pids:
    try:
        pss += sum(int(l.split()[1]) for l in open(f"/proc/{p}/smaps_rollup") if l.startswith("Pss:"))
    except OSError:
        pass
print(f"{took * 1000:.0f} {pss // 1024}")
PY
) || wrong "$engine: $result"
    opened[$engine]=${result% *} held[$engine]=${result#* }
    stop $engine
    # A new server, so that its peak is that of the one result.
    start $engine
    before=$(rss_mb) most=0
    psql -Xqc "\\copy (SELECT a.id, b FROM t a CROSS JOIN generate_series(1, $((rows / 100000))) b) TO '$work/series'" &
    client=$! t=$(date +%s%N)
    while kill -0 $client 2>/dev/null; do
        now=$(rss_mb)
        ((now <= most)) || most=$now
        sleep 0.2
    done
    wait $client || wrong "$engine: the long result failed"
    took[$engine]=$((($(date +%s%N) - t) / 1000000))
    peak[$engine]=$((most - before))
    awk -v n="$rows" '{ a += $1; b += $2 } END { k = n / 100000; exit !(NR == n && a == k * 5000050000 && b == 100000 * k * (k + 1) / 2) }' "$work/series" ||
        wrong "$engine: the long result is not whole"
    rm -f "$work/series"
    stop $engine
    echo "$engine: start ${began[$engine]} ms, idle ${idle[$engine]} MB, held ${held[$engine]} MB, long result ${peak[$engine]} MB more" >&2
done
echo "Idle; $(machine)"
echo
echo "| | PostgreSQL | OmenDB |"
echo "|---|--:|--:|"
echo "| start to first answer, existing database (psql included) | ${began[postgres]} ms | ${began[omendb]} ms |"
echo "| memory, idle (PSS) | ${idle[postgres]} MB | ${idle[omendb]} MB |"
echo "| $connections connections opened in | ${opened[postgres]} ms | ${opened[omendb]} ms |"
echo "| memory with $connections connections (PSS) | ${held[postgres]} MB | ${held[omendb]} MB |"
echo "| memory that COPY TO of $rows rows adds | ${peak[postgres]} MB | ${peak[omendb]} MB |"
echo "| … and its time | ${took[postgres]} ms | ${took[omendb]} ms |"
finish
