#!/usr/bin/env bash
# Pages of a prefix beside etcd's Range, a scan of all keys with flat memory, and what it
# does to writers; then the scan alone over ten times as many keys. Run it on a machine
# that does nothing else.
#   16-scan.sh            1,000,000 keys beside etcd, 10,000,000 of kvd alone
#   16-scan.sh --quick    20,000 keys, one short run of each
. "$(dirname "$0")/lib.sh"
begin 16-scan "Scans cost little and take no memory" "$@"

peer etcd etcd-server || say "etcd-server cannot be installed"
if [ "${1:-}" = --quick ]; then
    kvbench scan --check --keys 20000 --pairs 1 --seconds 1
else
    kvbench scan --check
fi
case $BENCH_CODE in
    0) ;;
    77) skip "etcd is missing: the rest is shown above" ;;
    *) fail "kvbench scan --check exited with $BENCH_CODE" ;;
esac
if [ "${1:-}" != --quick ]; then
    # About 2 GB of memory in the daemon, and 400 MB in the driver.
    kvbench scan --check --keys 10000000 --only-kvd
    [ "$BENCH_CODE" -eq 0 ] || fail "kvbench scan --keys 10000000 exited with $BENCH_CODE"
fi
pass
