#!/usr/bin/env bash
# A watcher that does not read for a minute under 20,000 writes a second: what the daemon
# keeps for it, what that does to the daemon's memory, and whether the watcher, once it goes
# on, has missed anything. Run it on a machine that does nothing else.
#   42-paused-watcher.sh            60 s; twice that with the daemon that nobody watches
#   42-paused-watcher.sh --quick    2 s at 5,000 writes a second; the same bounds but for the
#                                   resident memory of so short a run, which varies by more
. "$(dirname "$0")/lib.sh"
begin 42-paused-watcher "A watcher that pauses under load" "$@"

if [ "${1:-}" = --quick ]; then
    kvbench paused --keys 10000 --seconds 2 --rate 5000 --more 64 --check
else
    kvbench paused --check
fi
case $BENCH_CODE in
    0) pass ;;
    1) missed "not every bound was kept, see below" ;;
    *) fail "kvbench paused exited with $BENCH_CODE" ;;
esac
