#!/usr/bin/env bash
# What a snapshot of 5,000,000 keys does to readers, writers and memory under full load,
# beside redis-server's BGREWRITEAOF in the same run. Run it on a machine that does nothing
# else; it takes 4 GB of memory and 4 GB of disk.
#   34-snapshot-load.sh            5,000,000 keys, three windows of 8 s each way
#   34-snapshot-load.sh --quick    50,000 keys, one of a second; no ratio is judged
. "$(dirname "$0")/lib.sh"
begin 34-snapshot-load "Snapshots of 5,000,000 keys under full load" "$@"

peer redis-server redis-server || say "redis-server cannot be installed"
if [ "${1:-}" = --quick ]; then
    kvbench snapshot --keys 50000 --rounds 1 --seconds 1
else
    kvbench snapshot --check --results "$(figures snapshot)"
fi
case $BENCH_CODE in
    0) pass ;;
    1) missed "not every ratio was reached, see below" ;;
    77) skip "redis-server is missing: the rest is shown above" ;;
    *) fail "kvbench snapshot exited with $BENCH_CODE" ;;
esac
