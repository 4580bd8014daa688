#!/usr/bin/env bash
# Failures that stores of this kind are known for, one named test each.
. "$(dirname "$0")/lib.sh"
begin 06-regressions "Known failures of this kind of store do not happen"

run_tests kvcore regressions
ran a_write_is_not_acknowledged_as_synced_while_the_sync_has_not_returned "acknowledged but unsynced"
ran two_writers_of_one_key_are_logged_in_the_order_in_which_they_were_applied "two writers of one key"
ran a_large_value_before_a_thousand_small_keys_survives_a_restart "1 MiB, then 1,000 small keys, restart"
ran stale_temporary_files_stop_nothing_and_are_removed "a stale temporary file"
ran five_hundred_restarts_do_not_grow_the_directory "500 restarts"
ran an_idle_interval_store_syncs_its_last_group "an idle interval server"
ran a_full_log_never_leaves_an_applied_unit_unlogged "a full log, units of 16 MiB"
ran a_failed_sync_poisons_writes_and_leaves_durable_reads "a failed sync"
ran both_ways_to_write_the_log_recover_each_others_files "mapping and pwrite"

# SIGTERM under load, on the real process: everything answered is there, the start is
# clean, and no revision was jumped over.
binaries kvd kvcli
start_kvd "$WORK/data"
seq 1 200000 | awk '{ print "set key-" $1 " " $1 }' >"$WORK/load"
"$KVCLI" -o jsonl <"$WORK/load" >"$WORK/answers" 2>"$WORK/kvcli.err" &
client=$!
OWN_PIDS+=("$client")
until [ -s "$WORK/answers" ]; do sleep 0.01; done
sleep 0.3
stop_kvd
code=0
wait "$client" || code=$?
answered=$(grep -c '"applied":true' "$WORK/answers" || true)
[ "$code" -ne 0 ] || fail "the script was over before SIGTERM: the test does not bite"
[ "$answered" -gt 0 ] || fail "no line was answered"
[ "$answered" -lt 200000 ] || fail "every line was answered"
start_kvd "$WORK/data"
keys=$(field keys "$READY")
[ "$(status_of recovery_started_clean)" = true ] || fail "the start after SIGTERM was not clean"
[ "$keys" -ge "$answered" ] || fail "$answered writes were acknowledged, $keys keys came back"
[ "$(field revision "$READY")" = "$((keys + 1))" ] || fail "$keys keys, and revision $(field revision "$READY")"
last=$("$KVCLI" -o raw get "key-$answered")
[ "$last" = "$answered" ] || fail "key-$answered holds $last"
fact "SIGTERM under load" "kvcli exited with $code, $answered writes acknowledged, $keys came back, clean start, no gap"
stop_kvd
pass
