#!/usr/bin/env bash
# From a stopped server with 5,000,000 keys to the first answer: kvd from its log and from
# a snapshot with the log behind it, beside redis-server from its append-only file and
# from its dump, in one run, in turn. Run it on a machine that does nothing else; it takes
# 4 GB of memory and 4 GB of disk.
#   24-restart.sh            5,000,000 keys, three starts of each
#   24-restart.sh --quick    50,000 keys, one start of each; no ratio is judged: so few keys
#                            are loaded before either server has done the rest of its start
. "$(dirname "$0")/lib.sh"
begin 24-restart "Starting again with 5,000,000 keys, beside Redis" "$@"

peer redis-server redis-server || say "redis-server cannot be installed"
if [ "${1:-}" = --quick ]; then
    kvbench restart --keys 50000 --rounds 1 --settle 0.01
else
    kvbench restart --check --results "$(figures restart)"
fi
case $BENCH_CODE in
    0) pass ;;
    1) missed "not every ratio was reached, see below" ;;
    77) skip "redis-server is missing: the rest is shown above" ;;
    *) fail "kvbench restart exited with $BENCH_CODE" ;;
esac
