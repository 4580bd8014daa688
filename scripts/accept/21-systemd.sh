#!/usr/bin/env bash
# kvd as a service: the unit files, and the conversation with a manager that is played by
# a script with systemd's rules, because few machines that run this have a booted systemd.
#   21-systemd.sh            2 GiB of log under a start limit of 10 s, watchdog of 4 s
#   21-systemd.sh --quick    128 MiB under a limit of 1 s, watchdog of 2 s
# ACCEPT_KVD_DEBUG: take kvd-debug, kvd with faults on request, from here instead of
# building it.
. "$(dirname "$0")/lib.sh"
begin 21-systemd "kvd as a service" "$@"

bytes=$((2 << 30)) limit=10 watchdog=4
[ "${1:-}" != --quick ] || bytes=$((128 << 20)) limit=1 watchdog=2
command -v python3 >/dev/null || apt_install python3
binaries kvd kvcli
# Else beside the binaries, so that what is compiled already serves both.
KVD_DEBUG=${ACCEPT_KVD_DEBUG:-}
if [ -z "$KVD_DEBUG" ]; then
    (cd "$ROOT" && cargo build --release --locked -p kvd --features debug-hooks --bin kvd-debug) >&2
    KVD_DEBUG=${CARGO_TARGET_DIR:-$ROOT/target}/release/kvd-debug
fi
[ -x "$KVD_DEBUG" ] || fail "$KVD_DEBUG is missing"

# The unit files, as systemd's own tools see them.
units() {
    local at=$WORK/units root=$WORK/root rating
    need systemd-analyze systemd
    mkdir -p "$at" "$root/etc" "$root/var/lib"
    cp "$ROOT"/kvd/systemd/kvd.{service,socket} "$at"
    # The program is not installed here; everything else is verified as it is.
    sed -i "s|^ExecStart=/usr/bin/kvd|ExecStart=$KVD|" "$at/kvd.service"
    systemd-analyze verify "$at/kvd.service" "$at/kvd.socket" >"$WORK/verify.err" 2>&1 ||
        fail "systemd-analyze verify refuses a unit"
    [ ! -s "$WORK/verify.err" ] || fail "systemd-analyze verify has something to say"
    fact "systemd-analyze verify" "nothing to say about kvd.service and kvd.socket"
    rating=$(systemd-analyze security --offline=true --threshold=15 "$at/kvd.service") ||
        fail "the exposure is above 1.5: $(tail -n 1 <<<"$rating")"
    fact "systemd-analyze security" "$(sed -n 's/.*exposure level for kvd.service: \([0-9.]* [A-Z]*\).*/\1/p' <<<"$rating")"
    systemd-sysusers --root="$root" "$ROOT/kvd/systemd/kvd.sysusers" 2>"$WORK/sysusers.err"
    grep -q '^kvd:' "$root/etc/passwd" || fail "kvd.sysusers makes no user"
    systemd-tmpfiles --create --root="$root" "$ROOT/kvd/systemd/kvd.tmpfiles" 2>"$WORK/tmpfiles.err" ||
        [ "$(id -u)" != 0 ] || fail "kvd.tmpfiles fails"
    [ "$(id -u)" != 0 ] || [ "$(stat -c %a "$root/var/lib/kvd")" = 700 ] || fail "/var/lib/kvd is not for kvd alone"
    fact "kvd.sysusers, kvd.tmpfiles" "a user kvd, /var/lib/kvd with mode 700"
    "$KVD" config check "$ROOT/kvd/systemd/kvd.toml" >"$WORK/check.out" 2>"$WORK/check.err" ||
        fail "kvd config check refuses the sample"
    fact "kvd config check kvd.toml" "in order"
}

# story NAME: one of the manager's, whose findings become rows.
story() {
    local what figure
    mkdir -p "$WORK/$1"
    python3 "$ROOT/scripts/python/manager.py" "$1" --kvd "$KVD" --kvd-debug "$KVD_DEBUG" \
        --kvcli "$KVCLI" --dir "$WORK/$1/data" --bytes "$bytes" --limit "$limit" --watchdog "$watchdog" \
        >"$WORK/$1.tsv" 2>"$WORK/$1.err" || fail "the story $1 does not hold"
    while IFS=$'\t' read -r what figure; do fact "$what" "$figure"; done <"$WORK/$1.tsv"
    rm -rf "${WORK:?}/$1"
}

if [ -d /run/systemd/system ]; then
    fact "manager" "played by a script; this machine has a booted systemd as well"
else
    fact "manager" "played by a script: no systemd is booted here"
fi
units
for name in start watchdog reload stop deaf sockets; do story "$name"; done
pass
