#!/usr/bin/env bash
# A million keys that end at the same moment, under load; and keys with a TTL of seconds
# that live exactly that long while the daemon's wall clock is set to next year and to
# yesterday, over restarts, and from a start with a wrong clock.
#   14-expiry.sh            1,000,000 keys, two rounds of each kind
#   14-expiry.sh --quick    50,000 keys, one round, and TTLs of two thirds
. "$(dirname "$0")/lib.sh"
begin 14-expiry "Keys end when they have to, whatever the wall clock says" "$@"

need faketime faketime
FAKE=$(find /usr/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1)
[ -n "$FAKE" ] || skip "the package faketime has no libfaketimeMT.so.1"
binaries kvd kvcli
DIR=$WORK/data
CLOCK=$WORK/clock
DAY_MS=86400000
# Between the clocks of this script and of the daemon, which are rounded to ms and may be
# adjusted a little against one another.
SLACK_MS=20
THIRDS=3
[ "${1:-}" != --quick ] || THIRDS=2

# set_clock OFFSET: what the daemon's wall clock shows beside the real one.
set_clock() {
    echo "$1" >"$CLOCK.new"
    mv "$CLOCK.new" "$CLOCK"
}

# The wall clock of libc is the fake one; monotonic and boot clock stay.
start_fake() {
    local real=$KVD
    cat >"$WORK/kvd-fake" <<FAKE
#!/bin/sh
export LD_PRELOAD=$FAKE FAKETIME_TIMESTAMP_FILE=$CLOCK FAKETIME_NO_CACHE=1
export FAKETIME_DONT_FAKE_MONOTONIC=1
exec $real "\$@"
FAKE
    chmod 755 "$WORK/kvd-fake"
    KVD=$WORK/kvd-fake
    start_kvd "$DIR"
    KVD=$real
}

now_ms() { echo "${EPOCHREALTIME%.*}${EPOCHREALTIME#*.}" | sed 's/...$//'; }

# mortal KEY TTL_MS: sets it, and notes between which moments it has to end.
declare -A EARLIEST LATEST
mortal() {
    EARLIEST[$1]=$(($(now_ms) + $2 - SLACK_MS))
    "$KVCLI" set "$1" alive --ttl "$2ms"
    LATEST[$1]=$(($(now_ms) + $2 + SLACK_MS))
}

# expires KEY: when the daemon says that it ends.
expires() { "$KVCLI" -o jsonl get "$1" | sed -n 's/.*"expires_at_ms": *"\{0,1\}\([0-9]*\).*/\1/p'; }

# is KEY: reads it once; it has to be there before its end and not after it.
is() {
    local sent answered code=0
    sent=$(now_ms)
    "$KVCLI" get "$1" >/dev/null 2>&1 || code=$?
    answered=$(now_ms)
    case $code in
        0) [ "$sent" -lt "${LATEST[$1]}" ] || fail "$1 was read $((sent - LATEST[$1])) ms after its end" ;;
        1) [ "$answered" -ge "${EARLIEST[$1]}" ] || fail "$1 was gone $((EARLIEST[$1] - answered)) ms before its end" ;;
        *) fail "kvcli get $1 exited with $code" ;;
    esac
    return "$code"
}

# lives KEY WHAT: reads it until it ends.
lives() {
    local reads=0
    while is "$1"; do reads=$((reads + 1)); done
    fact "$2" "lived its TTL, found by $reads reads, then gone"
}

# shown KEY BEFORE DAYS: what is shown as its end has moved with the wall clock.
shown() {
    local limit=$((SECONDS + 5)) moved off
    while :; do
        moved=$(($(expires "$1") - $2))
        off=$((moved - $3 * DAY_MS))
        [ "${off#-}" -gt 1000 ] || break
        [ "$SECONDS" -lt "$limit" ] || fail "the shown end of $1 moved by $moved ms, not by $3 days"
        sleep 0.1
    done
    fact "shown end after the clock was set by $3 days" "moved by $moved ms"
}

# While it runs: to next year, then to yesterday.
set_clock +0
start_fake
mortal forward $((2000 * THIRDS))
before=$(expires forward)
set_clock +365d
shown forward "$before" 365
lives forward "set while the clock was right, which then went a year ahead"
mortal back $((2000 * THIRDS))
before=$(expires back)
set_clock -1d
shown back "$before" -366
lives back "set a year ahead, then the clock went to yesterday"

# Restarts, with the clock at yesterday.
mortal stopped $((2700 * THIRDS))
stop_kvd
start_fake
lives stopped "over a stop and a start with a wrong clock"
mortal killed $((2700 * THIRDS))
kill_kvd
start_fake
lives killed "over kill -9 and a start with a wrong clock"

# Corrected while it runs, and started again with the right clock.
mortal corrected $((3000 * THIRDS))
before=$(expires corrected)
set_clock +0
shown corrected "$before" 1
stop_kvd
start_fake
lives corrected "the clock was corrected, then a stop and a start"
stop_kvd

# A store that began with a wrong clock.
DIR=$WORK/data-wrong
set_clock +365d
start_fake
mortal wrong $((3000 * THIRDS))
before=$(expires wrong)
set_clock +0
shown wrong "$before" -365
kill_kvd
start_fake
lives wrong "a store that began a year ahead and was corrected, then kill -9"
stop_kvd

if [ "${1:-}" = --quick ]; then
    kvbench expiry --check --keys 50000 --pairs 1
else
    kvbench expiry --check
fi
[ "$BENCH_CODE" -eq 0 ] || fail "kvbench expiry --check exited with $BENCH_CODE"
pass
