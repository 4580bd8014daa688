#!/usr/bin/env bash
# People at a terminal: a session under a pseudo-terminal, letter by letter; what a
# careless or hostile terminal does to it; the load that kvcli measures, beside a server
# that stalls; the live view; every command that the pages show.
#   27-repl.sh            plays and compares
#   27-repl.sh --record   writes 27-repl.session anew with what is shown
. "$(dirname "$0")/lib.sh"
begin 27-repl "kvcli for people at a terminal" "$@"
need python3 python3
binaries kvd kvcli
SESSION=$ROOT/scripts/accept/27-repl.session
PLAY=$ROOT/scripts/python/session.py

if [ "${1:-}" = --record ]; then
    python3 "$PLAY" "$KVD" "$KVCLI" "$WORK" "$SESSION" --record || fail "the session was not recorded"
    say "recorded $SESSION"
    exit 0
fi
python3 "$PLAY" "$KVD" "$KVCLI" "$WORK" "$SESSION" >"$WORK/session.diff" || {
    cat "$WORK/session.diff" >&2
    fail "the session shows something else than 27-repl.session"
}
fact "a session under a pseudo-terminal, compared letter by letter" \
    "$(grep -c '^[>+<] ' "$SESSION") inputs, $(grep -cvE '^[>+<?!#.] ?' "$SESSION") lines shown, with a \`kill -9\` of the daemon in it"
mode=$(stat -c %a "$WORK/session-state/kvcli/history")
[ "$mode" = 600 ] || fail "the history has mode $mode"
fact "mode of the history" "$mode"

# Open loop beside a server that stands still for a second: the stall has to show in the
# percentiles, although almost nothing was sent meanwhile.
start_kvd "$WORK/data"
json() { python3 -c 'import json, sys; value = json.load(open(sys.argv[1]))
for name in sys.argv[2].split("/"): value = value[name]
print(value)' "$1" "$2"; }
bench() { # NAME FLAG…: into $WORK/NAME.json
    local name=$1
    shift
    "$KVCLI" -o json bench --connections 2 --in-flight 8 "$@" >"$WORK/$name.json" ||
        fail "kvcli bench $* exited with $?"
    [ "$(json "$WORK/$name.json" wrong)" = 0 ] || fail "bench $name read something wrong"
    [ "$("$KVCLI" -o raw count)" = 0 ] || fail "bench $name left keys behind"
}
http=$(field http "$READY")
bench closed --duration 3s --metrics "$http"
fact "closed loop, 16 in flight, half reads" \
    "$(json "$WORK/closed.json" operations_per_second) operations/s, $(json "$WORK/closed.json" operations_per_server_cpu_second) per server CPU second, get p99 $(json "$WORK/closed.json" latency/get/p99_us) us, set p99 $(json "$WORK/closed.json" latency/set/p99_us) us"
bench open --duration 4s --rate 500 --metrics "$http" &
bench_pid=$!
OWN_PIDS+=("$bench_pid")
until "$KVCLI" -o raw count | grep -q '^10000$'; do sleep 0.05; done
sleep 1
kill -STOP "$KVD_PID"
sleep 1
kill -CONT "$KVD_PID"
wait "$bench_pid" || fail "bench with a rate failed"
max=$(json "$WORK/open.json" latency/set/max_us)
p90=$(json "$WORK/open.json" latency/set/p90_us)
count=$(json "$WORK/open.json" operations)
python3 -c 'import sys; sys.exit(not (float(sys.argv[1]) > 900e3 and float(sys.argv[2]) > 100e3 and int(sys.argv[3]) > 1800))' \
    "$max" "$p90" "$count" || fail "a stall of 1 s does not show: p90 $p90 us, max $max us, $count operations"
fact "open loop of 500/s beside a server stopped for 1 s" "p90 $p90 us, max $max us, $count of 2000 operations"

# What the live view shows while something happens.
"$KVCLI" bench --duration 8s --rate 2000 --metrics "$http" >"$WORK/load.out" 2>&1 &
load_pid=$!
OWN_PIDS+=("$load_pid")
sleep 1
python3 "$PLAY" --screen "$KVCLI" top --metrics "$http" >"$WORK/screen" || fail "kvcli top: exit $?"
for part in 'keys  ' 'group size' 'Set ' 'q ends'; do
    grep -q -- "$part" "$WORK/screen" || { cat "$WORK/screen" >&2; fail "kvcli top shows no $part"; }
done
"$KVCLI" -o json top --once --metrics "$http" >"$WORK/once.json" || fail "kvcli top --once"
sets=$(python3 -c 'import json, sys
print(sum(c["per_second"] for c in json.load(open(sys.argv[1]))["calls"] if c["call"] in ("Get", "Set")))' "$WORK/once.json")
python3 -c 'import sys; sys.exit(not 1000 < float(sys.argv[1]) < 3000)' "$sets" || fail "top sees $sets operations/s of 2000"
fact "kvcli top beside a load of 2,000/s" "$sets operations/s"
wait "$load_pid" || fail "the load beside top failed: $(tail -n 2 "$WORK/load.out")"
stop_kvd

run_tests kvcli cli
ran tab_completes_commands_options_and_keys "completion and hints"
ran many_keys_are_completed_no_further_than_all_have_in_common "completion is bounded and not too far"
ran what_removes_much_is_asked_about "what removes much is asked about"
ran the_history_holds_no_secrets_and_is_its_owners "no secrets in the history"
ran a_daemon_that_goes_and_comes_back_is_noticed "the daemon goes and comes back"
ran lines_of_a_mebibyte "a line of 1 MiB, pasted and typed"
ran bytes_that_are_no_text_are_dropped_with_their_line "invalid UTF-8"
ran input_that_ends_in_a_quote_runs_nothing "an unclosed quote at the end of input"
ran a_narrow_terminal_gets_short_lines "a terminal of 20 columns"
ran an_output_that_is_closed_ends_it_quietly "output into a closed pipe"
ran long_results_go_through_the_pager "a pager for long results"
ran ctrl_c_clears_the_line_and_ends_what_waits "Ctrl-C"
ran changes_are_shown_until_ctrl_c_which_says_how_to_go_on "watch at the prompt: over broken streams, until Ctrl-C, and on from its position"
ran options_and_keys_are_completed_and_every_example_runs "watch: completion, hints, every example of its help"
ran colours_follow_the_flag_and_the_environment "NO_COLOR and --color"
ran every_example_in_the_help_runs "every example of the help"
ran every_shell_block_runs_and_prints_what_it_says "every shell block of README and docs"
ran every_session_block_runs "every session of the docs"
ran every_command_in_a_sentence_is_one "every command that a sentence names"
sed -n 's/^skipped: //p' "$TESTS" | sort -u | while read -r line; do fact "not shown on this machine" "$line"; done
{ echo "The screen of \`kvcli top\` beside that load:"; echo; echo '```text'; cat "$WORK/screen"; echo '```'; } >"$WORK/text"
text "$WORK/text"
pass
