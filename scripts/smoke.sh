#!/usr/bin/env bash
# The daemon in one breath: start, probes, set and get, metrics, stop, check.
. "$(dirname "$0")/accept/lib.sh"
begin smoke "The daemon starts, serves and stops"
need curl curl
binaries kvd kvcli
start_kvd "$WORK/data"
say "$READY"
http=$(field http "$READY")
[ "$(curl -sS -o /dev/null -w '%{http_code}' "http://$http/healthz")" = 200 ] || fail "/healthz is not 200"
[ "$(curl -sS -o /dev/null -w '%{http_code}' "http://$http/readyz")" = 200 ] || fail "/readyz is not 200"
"$KVCLI" set greeting hello
[ "$("$KVCLI" -o raw get greeting)" = hello ] || fail "greeting came back otherwise"
curl -sS "http://$http/metrics" >"$WORK/metrics"
grep -q '^# EOF' "$WORK/metrics" || fail "/metrics is not OpenMetrics"
grep -q '^kvd_' "$WORK/metrics" || fail "/metrics has no kvd_ series"
stop_kvd
"$KVD" check "$WORK/data" || fail "kvd check: exit $?"
say "passed"
