#!/usr/bin/env bash
# Transactions of 1, 4 and 16 sets beside etcd's Txn and Redis' MULTI/EXEC, with the same
# promise. Run it on a machine that does nothing else.
#   17-txn.sh            three runs of 3 s for each row and server
#   17-txn.sh --quick    one of half a second
. "$(dirname "$0")/lib.sh"
begin 17-txn "Transactions beside those of etcd and Redis" "$@"

peer redis-server redis-server || say "redis-server cannot be installed"
peer etcd etcd-server || say "etcd-server cannot be installed"
if [ "${1:-}" = --quick ]; then
    kvbench txn --check --keys 5000 --pairs 1 --seconds 0.5
else
    kvbench txn --check
fi
case $BENCH_CODE in
    0) pass ;;
    77) skip "a peer is missing: the rest is shown above" ;;
    *) fail "kvbench txn --check exited with $BENCH_CODE" ;;
esac
