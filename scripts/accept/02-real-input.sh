#!/usr/bin/env bash
# Real input: Debian's word list through kvcli's script mode, kill -9 right after the
# last answer, every word back; then every file of this repository, byte for byte.
. "$(dirname "$0")/lib.sh"
begin 02-real-input "Real input survives kill -9"

LIST=/usr/share/dict/american-english
[ -s "$LIST" ] || apt_install wamerican
[ -s "$LIST" ] || skip "wamerican is installed and brought no $LIST"
binaries kvd kvcli

words=$(wc -l <"$LIST")
fact words "$words"
fact "with an apostrophe" "$(grep -c "'" "$LIST")"
fact "not ASCII" "$(LC_ALL=C grep -c '[^ -~]' "$LIST")"

awk '{ print "set " $0 " " NR }' "$LIST" >"$WORK/set.script"
awk '{ print "get " $0 }' "$LIST" >"$WORK/get.script"
seq 1 "$words" >"$WORK/numbers"

DATA=$WORK/data
start_kvd "$DATA" --sync always
before=$SECONDS
"$KVCLI" -o raw <"$WORK/set.script" >"$WORK/set.out" || fail "kvcli exited with $? on the script"
kill_kvd
fact "written with --sync always in" "$((SECONDS - before)) s"
[ ! -s "$WORK/set.out" ] || fail "raw set is silent, and printed: $(head -n 1 "$WORK/set.out")"

start_kvd "$DATA" --sync always
ready_keys=$(field keys "$READY")
fact "keys in the ready line after kill -9" "$ready_keys"
fact "keys in the status" "$(status_of keys)"
fact "units replayed" "$(status_of recovery_units)"
[ "$ready_keys" = "$words" ] || fail "the ready line counts $ready_keys of $words words"
[ "$(status_of keys)" = "$words" ] || fail "the status counts another number of keys"
"$KVCLI" -o raw <"$WORK/get.script" >"$WORK/get.out" || fail "kvcli exited with $? on the reads"
cmp "$WORK/get.out" "$WORK/numbers" || fail "a word came back with another value"
fact "words read back with their line number" "$words"

# Every file of the repository, and the programs just built, which are over the limit.
(cd "$ROOT" && git ls-files -z) >"$WORK/names"
stored=() refused=()
store() { # KEY FILE
    local code=0
    "$KVCLI" -o raw set --file "$2" -- "$1" >/dev/null 2>"$WORK/set.err" || code=$?
    if [ "$(stat -c %s "$2")" -le 1048576 ]; then
        [ "$code" -eq 0 ] || fail "$1: kvcli exited with $code: $(cat "$WORK/set.err")"
        stored+=("$1")
    else
        [ "$code" -eq 4 ] || fail "$1 is over the limit and kvcli exited with $code"
        # Over the longest message it is refused before it is decoded.
        grep -qE 'VALUE_TOO_LARGE|message length too large' "$WORK/set.err" || fail "the refusal gives no reason: $(cat "$WORK/set.err")"
        refused+=("$1 ($(stat -c %s "$2") bytes)")
    fi
}
while IFS= read -r -d '' name; do
    [ ! -f "$ROOT/$name" ] || store "$name" "$ROOT/$name"
done <"$WORK/names"
store kvd "$KVD"
store kvcli "$KVCLI"
: >"$WORK/set.err"
kill_kvd

start_kvd "$DATA" --sync always
bytes=0
for name in "${stored[@]}"; do
    "$KVCLI" -o raw get --no-newline -- "$name" >"$WORK/one" || fail "$name did not come back"
    cmp "$WORK/one" "$ROOT/$name" || fail "$name came back with other bytes"
    bytes=$((bytes + $(stat -c %s "$WORK/one")))
done
[ "$(status_of keys)" = "$((words + ${#stored[@]}))" ] || fail "the status counts another number of keys"
[ "${#refused[@]}" -gt 0 ] || fail "nothing was over the limit: nothing shows that it is refused"
fact "files stored and compared byte for byte after another kill -9" "${#stored[@]}, $bytes bytes"
fact "files over the limit, each refused with exit 4" "${refused[*]}"
stop_kvd
pass
