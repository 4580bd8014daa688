#!/usr/bin/env bash
# 1,000 watchers on 1,000 prefixes, and 1,000 on one key, beside etcd: events delivered, what
# they cost, and what they do to those who write. Run it on a machine that does nothing else.
#   43-fanout.sh            three rounds, windows of 5 s: five minutes
#   43-fanout.sh --quick    100 watchers, one round, windows of 0.2 s; no ratio is judged, and
#                           etcd is left out if it is not installed
. "$(dirname "$0")/lib.sh"
begin 43-fanout "1,000 watchers beside etcd" "$@"

if [ "${1:-}" = --quick ]; then
    alone=()
    command -v etcd >/dev/null 2>&1 || alone=(--alone)
    kvbench watchers --watchers 100 --connections 4 --rounds 1 --seconds 0.2 --rate 500 "${alone[@]}"
else
    peer etcd etcd-server || say "etcd-server cannot be installed"
    kvbench watchers --check --results "$(figures watchers)"
fi
case $BENCH_CODE in
    0) pass ;;
    1) missed "not every ratio was reached, see below" ;;
    77) skip "etcd is missing: the rest is shown above" ;;
    *) fail "kvbench watchers exited with $BENCH_CODE" ;;
esac
