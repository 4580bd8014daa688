#!/usr/bin/env bash
# The contract of watches on a simulated disk, the broken builds that it must catch, and
# watches over the wire:
#   40-watch.sh [RUNS]     500 by default; .ci/run takes 60
. "$(dirname "$0")/lib.sh"
begin 40-watch "Every change in order, once, whatever happens" "$@"

export KVD_WATCH_RUNS=${1:-500}
run_tests kvcore watch
fact "stories asked for" "$KVD_WATCH_RUNS"
ran every_change_in_order_once_whatever_happens "ordered, unique, reliable, atomic, resumable; the mirror is the store"
sed -n '/^Tally {/,/^}/p' "$TESTS" | sed -n 's/^ *\([a-z_]*\): \([0-9]*\),$/\1 \2/p' |
    while read -r what count; do fact "${what//_/ }" "$count"; done
grep -q '^| mirrors |' "$NOTE" || fail "the test printed no counts"

ran telling_before_the_sync_is_caught "broken build: publish before durable"
ran dropping_what_a_full_queue_has_no_room_for_is_caught "broken build: drop on a full queue"
ran a_resync_that_does_not_say_what_is_gone_is_caught "broken build: resync without absences"
ran a_thousand_keys_that_ended_while_nobody_looked_are_told_with_their_last_values "1,000 EXPIRED events after a restart, in order, once"
ran an_iterator_tells_each_change_and_ends_when_the_store_is_closed "the library: an iterator"
ran a_callback_is_told_until_it_breaks_or_is_dropped "the library: a callback"
pass
