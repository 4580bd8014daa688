#!/usr/bin/env bash
# kvd beside redis-server and etcd, promise matched to promise, in all shapes: operations
# per second, and per second of server CPU. Run it on a machine that does nothing else.
#   25-peers.sh            three runs of 1.5 s for each row and server: ten minutes
#   25-peers.sh --quick    one of 50 ms; no ratio is judged
. "$(dirname "$0")/lib.sh"
begin 25-peers "Beside Redis and etcd, promise matched to promise" "$@"

peer redis-server redis-server || say "redis-server cannot be installed"
peer etcd etcd-server || say "etcd-server cannot be installed"
if [ "${1:-}" = --quick ]; then
    kvbench peers --keys 2000 --rounds 1 --seconds 0.05
else
    kvbench peers --check --results "$(figures peers)"
fi
case $BENCH_CODE in
    0) pass ;;
    1) missed "not every ratio was reached, see below" ;;
    77) skip "a peer is missing: the rest is shown above" ;;
    *) fail "kvbench peers exited with $BENCH_CODE" ;;
esac
