#!/usr/bin/env bash
# The door under schedules that an explorer chooses, and the builds that are broken on
# purpose and must be caught by them.
#   13-schedules.sh [SCHEDULES PER SCENARIO]     default 17,000 for each of seven
. "$(dirname "$0")/lib.sh"
begin 13-schedules "No schedule of the door's threads breaks what it promises" "$@"

count=${1:-17000}
# A few are faster run than compiled well.
profile=(--release)
[ "$count" -gt 2000 ] || profile=()
(cd "$ROOT" && KVD_SCHEDULES=$count cargo test "${profile[@]}" --locked -p kvcore --features shuttle,sim \
    --test schedules -- --show-output) >"$WORK/schedules.out" 2>"$WORK/cargo.err" || {
    grep -E 'FAILED|panicked|^error|failing' "$WORK/schedules.out" "$WORK/cargo.err" >&2 || true
    fail "cargo test --test schedules failed"
}
TESTS=$WORK/schedules.out
total=0
while IFS=$'\t' read -r name schedules; do
    fact "$name" "$schedules schedules, no violation"
    total=$((total + schedules))
done < <(sed -n 's/^\(.*\): \([0-9]*\) schedules$/\1\t\2/p' "$TESTS")
fact "schedules in all" "$total"
[ "$total" -ge $((7 * count)) ] || fail "only $total schedules ran"
ran a_range_transaction_that_locks_only_present_keys_is_caught "broken: range Txn locks only present keys"
ran a_batch_that_is_read_shard_by_shard_is_caught "broken: BatchGet shard by shard"
ran a_request_id_that_is_checked_outside_its_stripe_is_caught "broken: request id outside its stripe"
ran an_index_that_is_updated_after_the_unlock_is_caught "broken: index updated after unlock"
ran a_clock_that_is_read_before_the_lock_is_caught "broken: now read before the lock"
ran a_watch_that_is_entered_outside_the_seam_is_caught "broken: a watch entered outside the seam"
pass
