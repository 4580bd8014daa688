#!/usr/bin/env bash
# What it costs that the metrics are read every second: CPU of the server for each
# operation, in several shapes, of three daemons in turn. Two of them show no metrics;
# their difference is what the measurement cannot tell from nothing. Run it on a machine
# that does nothing else.
#   35-metrics-cost.sh            fifteen turns of a second in each shape: five minutes
#   35-metrics-cost.sh --quick    one of 100 ms; nothing is judged
. "$(dirname "$0")/lib.sh"
begin 35-metrics-cost "What it costs that metrics are read" "$@"

if [ "${1:-}" = --quick ]; then
    kvbench metrics --keys 2000 --rounds 1 --seconds 0.1
else
    kvbench metrics --rounds 15 --seconds 1 --check
fi
case $BENCH_CODE in
    0) pass ;;
    1) missed "a shape loses more than 2 %, see below" ;;
    *) fail "kvbench metrics exited with $BENCH_CODE" ;;
esac
