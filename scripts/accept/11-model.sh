#!/usr/bin/env bash
# An independent model beside the engine on the same random operations, and the builds
# and models that are wrong on purpose and must be noticed:
#   11-model.sh [OPERATIONS [FIRST_SEED]]     1,000,000 and 1 by default
. "$(dirname "$0")/lib.sh"
begin 11-model "The engine answers as an independent model does" "$@"

export KVD_MODEL_OPERATIONS=${1:-1000000} KVD_MODEL_FIRST_SEED=${2:-1}
run_tests kvcore model
ran the_engine_and_the_model_answer_alike "every answer, on the same operations"
fact "first seed" "$KVD_MODEL_FIRST_SEED"
while IFS=$'\t' read -r what count; do
    [ "$what" != operations ] || operations=$count
    fact "$what" "$count"
done < <(sed -n '/^Tally {/,/^}/s/^ *\(.*\): \([0-9]*\),$/\1\t\2/p' "$TESTS")
[ "${operations:-0}" -ge "$KVD_MODEL_OPERATIONS" ] || fail "only ${operations:-no} operations were done"
ran the_same_seed_tells_the_same_story "a seed replays alone"

ran an_expiry_that_bypasses_the_door_is_caught "broken build: an expiry that bypasses the door"
ran a_miss_that_ignores_deletes_is_caught "broken build: a miss that ignores deletes"
ran reusing_revisions_after_an_unclean_start_is_caught "broken build: reuse of revisions"
ran acknowledging_before_the_sync_is_caught "broken build: acknowledge before sync"
ran a_key_that_is_missing_from_the_index_is_caught "broken build: a key that is missing from the index"
ran sending_after_unlock_is_caught "broken build: send after unlock"
ran appending_to_a_recovered_tail_is_caught "broken build: append to a recovered tail"
ran skipping_the_directory_sync_is_caught "broken build: skip the directory fsync"
ran every_wrong_model_is_noticed "models that are wrong in one point"
sed -n 's/^\([A-Za-z]*\): noticed by seed \([0-9]*\)$/\1 \2/p' "$TESTS" | while read -r twist seed; do
    fact "wrong model: $twist" "noticed by seed $seed"
done
pass
