#!/usr/bin/env bash
# SIGHUP with each kind of mistake changes nothing, also while calls are in flight; and
# connections that are opened and dropped leave descriptors and memory where they were.
#   28-reload.sh            1,000 connections in each of three ways, three rounds
#   28-reload.sh --quick    one round
. "$(dirname "$0")/lib.sh"
begin 28-reload "A reload with a mistake changes nothing, dropped connections leave nothing" "$@"

rounds=3
[ "${1:-}" != --quick ] || rounds=1
command -v python3 >/dev/null || apt_install python3
run_tests kvd daemon reload
ran what_can_change_changes_and_the_rest_is_named "limits, memory and the level of the log change; the rest is named"
kinds=$(sed -n '/^const MISTAKES/s/.*; \([0-9]*\)\].*/\1/p' "$ROOT/kvd/tests/daemon/reload.rs")
ran a_mistake_changes_nothing "$kinds kinds of mistake in the file, and a file that is gone, too long, not UTF-8, a pipe, a directory"

binaries kvd kvcli
CONFIG=$WORK/kvd.toml
good='[memory]\nmax_bytes = "512MiB"\n'
printf %b "$good" >"$CONFIG"
start_kvd "$WORK/data" --allow-volatile --config "$CONFIG"
python3 "$ROOT/scripts/python/churn.py" "$KVCLI_ENDPOINT" "$KVD_PID" "$CONFIG" "$KVCLI" "$rounds" \
    >"$WORK/churn.tsv" 2>"$WORK/churn.err" || fail "the daemon is not as it was"
while IFS=$'\t' read -r what figure; do fact "$what" "$figure"; done <"$WORK/churn.tsv"
[ "$(status_of memory_max_bytes)" = $((512 << 20)) ] || fail "the limit is not what it was"
stop_kvd
pass
