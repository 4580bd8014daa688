#!/usr/bin/env bash
# Increments with request ids over a line that loses every fifth reply, while the daemon
# is killed every two seconds:
#   15-counter.sh [COUNT [SEED]]     100000 and 1 by default
# Then the same without request ids, which must get it wrong: otherwise the first run
# shows nothing.
. "$(dirname "$0")/lib.sh"
begin 15-counter "A repeated request counts once" "$@"

count=${1:-100000} seed=${2:-1}
few=$((count < 2000 ? count : 2000))
binaries kvd counter
"$COUNTER" --kvd "$KVD" --count "$count" --seed "$seed" --dir "$WORK/with" \
    >"$WORK/with.md" 2>"$WORK/with.err" || fail "the counter is wrong, or could not be counted"
fact "run" "$(head -n 1 "$WORK/with.md")"
fact "counter off the count, answered values or revisions that occur twice, replays that differ" "none"
"$COUNTER" --kvd "$KVD" --count "$few" --seed "$seed" --dir "$WORK/without" --without-ids \
    >"$WORK/without.md" 2>"$WORK/without.err" || fail "without request ids the counter must be wrong"
fact "without request ids, after $few increments" "$(sed -n 's/^| counter at the end | \(.*\) |$/\1/p' "$WORK/without.md")"
sed 1,2d "$WORK/with.md" >"$WORK/table.md"
cat "$WORK/table.md"
text "$WORK/table.md"
pass
