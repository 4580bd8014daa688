#!/usr/bin/env bash
# Power cuts on a simulated disk, and the broken builds that they must catch:
#   05-simulated-disk.sh [CUTS [FIRST_SEED]]     20,000 and 1 by default; .ci/run takes 2,000
. "$(dirname "$0")/lib.sh"
begin 05-simulated-disk "A simulated disk loses power and nothing is lost" "$@"

# As many tails as cuts; and starts cut three in a row when it is for long.
export KVD_TAIL_CASES=${1:-20000} KVD_DEEP=2
[ "$KVD_TAIL_CASES" -lt 20000 ] || KVD_DEEP=3
export KVD_SIM_CUTS=${1:-20000} KVD_SIM_FIRST_SEED=${2:-1}
run_tests kvcore power_cuts
fact "power cuts asked for, first seed" "$KVD_SIM_CUTS, $KVD_SIM_FIRST_SEED"
ran nothing_acknowledged_is_lost_and_nothing_is_invented_over_power_cuts "no violation in three policies"
ran the_same_seed_tells_the_same_story "a seed replays alone"
sed -n '/^Tally {/,/^}/p' "$TESTS" | sed -n 's/^ *\([a-z_]*\): \([0-9]*\),$/\1 \2/p' |
    while read -r what count; do fact "${what//_/ }" "$count"; done
grep -q '^| power cuts |' "$NOTE" || fail "the test printed no counts"

ran acknowledging_before_the_sync_is_caught "broken build: acknowledge before sync"
ran appending_to_a_recovered_tail_is_caught "broken build: append to a recovered tail"
ran skipping_the_directory_sync_is_caught "broken build: skip the directory fsync"
ran retrying_a_failed_sync_is_caught "broken build: retry a failed fsync"
ran ignoring_a_store_that_missed_is_caught "broken build: ignore a store that missed"
ran believing_the_page_cache_at_a_start_is_caught "broken build: believe the page cache at a start"
ran truncating_on_any_bad_checksum_is_caught "broken build: truncate on any bad CRC"
ran reusing_revisions_after_an_unclean_start_is_caught "broken build: reuse of revisions"
ran a_miss_that_ignores_deletes_is_caught "broken build: a miss that ignores deletes"
ran replaying_from_the_end_of_a_snapshot_is_caught "broken build: replay from a snapshot's end"
ran forgetting_the_log_within_a_snapshot_is_caught "broken build: forget the log within a snapshot"
ran publishing_a_snapshot_before_the_log_is_durable_is_caught "broken build: publish a snapshot before its log is durable"
ran removing_segments_before_the_manifest_is_caught "broken build: remove segments before the MANIFEST"
ran a_flipped_bit_at_or_below_the_watermark_is_refused_with_file_and_offset "damage below the watermark"
ran every_outcome_of_every_cut_of_a_short_story_is_a_prefix_with_all_that_was_told "every outcome of every cut of a short story"
ran a_start_that_is_cut_anywhere_and_the_next_one_too_ends_with_the_same_store "starts cut anywhere, $KVD_DEEP in a row"
ran a_torn_tail_is_never_taken_for_damage_nor_damage_for_a_torn_tail "torn tails and damage told apart"
sed -n 's/^\([0-9]* cuts, [0-9]* outcomes\|[0-9]* starts\)$/\1/p' "$TESTS" | while read -r counted; do fact "counted" "$counted"; done
sed -n '/^Counts {/,/^}/p' "$TESTS" | sed -n 's/^ *\([a-z_]*\): \([0-9]*\),$/\1 \2/p' |
    while read -r what count; do fact "tails: ${what//_/ }" "$count"; done
run_tests kvcore regressions
ran sending_after_unlock_is_caught "broken build: send after unlock"
ran two_writers_of_one_key_are_logged_in_the_order_in_which_they_were_applied "and the sound build passes it"
pass
