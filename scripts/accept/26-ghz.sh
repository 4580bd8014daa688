#!/usr/bin/env bash
# Mixed Get and Set with ghz, by reflection, on 4 connections each: no call may fail, no
# acknowledged Set may be missing. What ghz itself costs stands beside.
#   26-ghz.sh            60 seconds
#   26-ghz.sh SECONDS
. "$(dirname "$0")/lib.sh"
begin 26-ghz "Mixed Get and Set with ghz, zero errors" "$@"

LENGTH=${1:-60}
binaries kvd kvcli
start_kvd "$WORK/data"
fact "load" "ghz for $LENGTH s: Get and Set at once, 64 calls in flight on 4 connections each, --sync always"

# CPU seconds of the daemon, from the kernel's account.
server_cpu() {
    local line
    line=$(cat "/proc/$KVD_PID/stat")
    awk -v hz="$(getconf CLK_TCK)" '{ print ($12 + $13) / hz }' <<<"${line##*) }"
}

before=$(server_cpu)
code=0
"$ROOT/scripts/ghz.sh" "$KVCLI_ENDPOINT" "$LENGTH" "$WORK/ghz" >"$WORK/ghz.out" 2>"$WORK/ghz.err" || code=$?
case $code in
    0) ;;
    77) skip "$(tail -n 1 "$WORK/ghz.err")" ;;
    *) fail "scripts/ghz.sh exited with $code" ;;
esac
cat "$WORK/ghz.out"
after=$(server_cpu)

# The first Sets, one for each of the 1,000 keys, are ghz's too.
figure() {
    python3 - "$WORK/ghz/$1.json" "$2" <<'PYTHON'
import json, sys
found = json.load(open(sys.argv[1]))
codes = found["statusCodeDistribution"] or {}
good = codes.get("OK", 0)
print({"ok": good, "count": found["count"], "rps": round(found["rps"]),
       "bad": found["count"] - good + sum((found["errorDistribution"] or {}).values()),
       "p99": round({d["percentage"]: d["latency"] / 1e6 for d in found["latencyDistribution"]}[99], 2)}[sys.argv[2]])
PYTHON
}
for name in get set; do
    ok=$(figure "$name" ok)
    [ "$(figure "$name" bad)" -eq 0 ] || fail "$name: not every call of ghz was answered with OK: $(cat "$WORK/ghz.out")"
    [ "$ok" -ge "$((LENGTH * 50))" ] || fail "$name: only $ok calls in $LENGTH s"
    fact "$name" "$ok calls, all OK; $(figure "$name" rps) a second, p99 $(figure "$name" p99) ms"
done
sets=$(figure set ok)
revision=$(status_of store_revision)
# A new store is at revision 1, and every Set takes one.
[ "$revision" -eq "$((1 + 1000 + sets))" ] || fail "revision $revision after $((1000 + sets)) acknowledged Sets"
[ "$(status_of keys)" -eq 1000 ] || fail "$(status_of keys) keys, not 1000"
fact "revision" "$revision: one for each acknowledged Set, and nothing else"
calls=$((sets + $(figure get ok)))
each() { awk -v seconds="$1" -v calls="$calls" 'BEGIN { printf "%.1f", seconds * 1e6 / calls }'; }
client=$(cat "$WORK/ghz/get.cpu" "$WORK/ghz/set.cpu" | awk '{ sum += $1 + $2 } END { print sum }')
server=$(awk -v a="$after" -v b="$before" 'BEGIN { print a - b }')
fact "CPU for each call" "kvd $(each "$server") µs, ghz $(each "$client") µs: ghz measures mostly itself"
fact "load average at the end" "$(cut -d' ' -f1-3 /proc/loadavg)"
stop_kvd
pass
