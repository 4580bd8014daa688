#!/usr/bin/env bash
# kill -9 on the real daemon under 16 clients with random durability, again and again:
#   04-kill-loop.sh [CYCLES [SEED]]     500 and 1 by default; .ci/run takes 20
# From 100 cycles on, at least one write acknowledged with NONE must have been lost:
# otherwise the kills come too late to show anything.
. "$(dirname "$0")/lib.sh"
begin 04-kill-loop "What was acknowledged survives kill -9" "$@"

cycles=${1:-500} seed=${2:-1}
binaries kvd killloop
bites=()
[ "$cycles" -lt 100 ] || bites=(--must-lose)
"$KILLLOOP" --kvd "$KVD" --cycles "$cycles" --seed "$seed" "${bites[@]}" --dir "$WORK/stores" \
    >"$WORK/report.md" 2>"$WORK/killloop.err" || fail "a promise was broken, or the loop could not run"
fact "run" "$(head -n 1 "$WORK/report.md")"
fact "LOGGED or SYNCED acknowledgements lost, inventions, revisions with two meanings" "none"
sed 1,2d "$WORK/report.md" >"$WORK/table.md"
cat "$WORK/table.md"
text "$WORK/table.md"
pass
