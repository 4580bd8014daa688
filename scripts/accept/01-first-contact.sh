#!/usr/bin/env bash
# A new user: a fresh clone, the two commands of README.md, and its tour, as they stand
# there; once on this disk and once on tmpfs.
#   01-first-contact.sh                   builds from nothing, twice
#   01-first-contact.sh --shared-target   one clone, on tmpfs, that shares this tree's compiled
#                                         dependencies; its tour keeps its data on a disk
. "$(dirname "$0")/lib.sh"
begin 01-first-contact "A fresh clone works as README.md says" "$@"

shared=false
[ "${1:-}" != --shared-target ] || shared=true
need git git
unset ACCEPT_BIN_DIR CARGO_TARGET_DIR KVCLI_ENDPOINT

# The lines of the fenced sh blocks of a section of README.md, a comment only if it
# tells what is printed.
section() {
    awk -v title="## $1" '
        /^## / { inside = ($0 == title) }
        inside && /^```/ { code = ($0 == "```sh"); next }
        inside && code && NF' "$2/README.md"
}

# What the tour does, typed in order. Runs in a process namespace of its own, so that
# `pidof kvd` finds this kvd and no other. $1: the tour's lines; $2: more flags for kvd.
cat >"$WORK/type.sh" <<'TOUR'
set -uo pipefail
start() {
    cargo run -q --release --bin kvd -- $FLAGS >"$OUT/ready" 2>>"$OUT/kvd.err" &
    STARTED=$!
    for _ in $(seq 3000); do
        if grep -q '^kvd ready ' "$OUT/ready"; then
            listen=$(sed 's/.* listen=\([^ ]*\).*/\1/' "$OUT/ready")
            [ "$listen" = 127.0.0.1:7500 ] || export KVCLI_ENDPOINT=$listen
            return
        fi
        kill -0 "$STARTED" 2>/dev/null || { echo "kvd ended: $(tail -n 3 "$OUT/kvd.err")"; exit 1; }
        sleep 0.1
    done
    echo "kvd did not get ready"; exit 1
}
start
while IFS= read -r line <&3; do
    [ -n "${line%%#*}" ] || continue
    case $line in
        "cargo run --release --bin kvd"*) start; continue ;;
        *"pidof kvd"*) [ -n "$NAMESPACE" ] || line="kill -9 $STARTED" ;;
    esac
    expected=
    case $line in *"# prints "*) expected=${line##*"# prints "} ;; esac
    echo "\$ $line"
    eval "$line" >"$OUT/printed" || { echo "exit $?"; exit 1; }
    cat "$OUT/printed"
    if [ -n "$expected" ] && ! grep -qF -- "$expected" "$OUT/printed"; then
        echo "expected: $expected"; exit 1
    fi
done 3<"$1"
# cargo run becomes the program that it runs: this is kvd.
kill "$STARTED"
wait "$STARTED"
TOUR
tour() { # CLONE WHERE FLAG…
    local clone=$1 where=$2 inside=(env NAMESPACE=) out
    shift 2
    out=$WORK/tour-$where
    mkdir "$out"
    section "One minute" "$clone" >"$out/lines"
    [ "$(grep -c 'kvcli ' "$out/lines")" -ge 4 ] || fail "README.md has no tour under 'One minute'"
    if unshare --fork --pid --mount-proc --kill-child true 2>/dev/null; then
        inside=(env NAMESPACE=1 unshare --fork --pid --mount-proc --kill-child)
    fi
    # With the usual ports taken the tour still has to work, on others.
    if (exec 3<>/dev/tcp/127.0.0.1/7500) 2>/dev/null || (exec 3<>/dev/tcp/127.0.0.1/7501) 2>/dev/null; then
        set -- "$@" --listen 127.0.0.1:0 --http-listen off
    fi
    (cd "$clone" && FLAGS="$*" OUT=$out "${inside[@]}" bash "$WORK/type.sh" "$out/lines") \
        >"$out/typed" 2>"$out/tour.err" || { cat "$out/typed" "$out/tour.err" >&2; fail "the tour on $where"; }
    cat "$out/typed"
    { echo "The tour on $where:"; echo; echo '```console'; cat "$out/typed"; echo '```'; echo; } >"$out/text"
    text "$out/text"
}

fresh() { # DIR WHERE: sets CLONE
    local before=$SECONDS
    CLONE=$1/clone
    git clone -q "$ROOT" "$CLONE" || fail "git clone"
    for command in 'cargo run --release --bin kvd' 'cargo test --workspace'; do
        section Start "$CLONE" | grep -qF "$command" || fail "README.md does not say: $command"
    done
    if $shared; then
        # A tenth of the power cuts: the tests of this tree make the others.
        export CARGO_TARGET_DIR=$ROOT/target KVD_SIM_CUTS=150
    fi
    (cd "$CLONE" && cargo build -q --release --bin kvd --bin kvcli) || fail "cargo build --release"
    fact "clone on $2 and release build" "$((SECONDS - before)) s"
}

tests() { # WHERE
    local before=$SECONDS log=$WORK/test-$1.log count which=(--workspace)
    # With the shared tree all tests have just run: compiling them again for the clone's
    # path takes longer than everything else here. Those that use the file system stay.
    ! $shared || which+=(--test engine --test no_space --test backup --test snapshots)
    (cd "$CLONE" && TMPDIR=$2 cargo test "${which[@]}" >"$log" 2>&1) || {
        grep -E 'FAILED|panicked|^error' "$log" >&2
        fail "cargo test ${which[*]} on $1"
    }
    count=$(awk '/^test result: ok\./ { sum += $4 } END { print sum }' "$log")
    fact "cargo test ${which[*]} on $1" "$count passed, $((SECONDS - before)) s"
    sed -n 's/^skipped: //p' "$log" | sort -u | while read -r line; do fact "skipped on $1" "$line"; done
}

if ! $shared; then
    mkdir "$WORK/disk"
    fresh "$WORK/disk" disk
    tour "$CLONE" disk
    tests disk "$WORK/disk"
    rm -rf "$WORK/disk"
fi

# On tmpfs the daemon refuses to promise what it cannot keep, says how to go on, and
# the tour works with that flag.
VOLATILE=$WORK/tmpfs
mkdir "$VOLATILE"
if ! mount -t tmpfs -o size=8g kvd-accept "$VOLATILE" 2>/dev/null; then
    VOLATILE=$(mktemp -d /dev/shm/kvd-accept.XXXXXX) || skip "no tmpfs: mount and /dev/shm both failed"
fi
# shellcheck disable=SC2317 # called by the trap
leave_tmpfs() {
    umount "$VOLATILE" 2>/dev/null || rm -rf "$VOLATILE"
}
trap 'code=$?; leave_tmpfs; cleanup "$code"' EXIT
fresh "$VOLATILE" tmpfs
code=0
(cd "$CLONE" && cargo run -q --release --bin kvd -- --listen 127.0.0.1:0 --http-listen off) \
    >"$WORK/refused" 2>&1 || code=$?
[ "$code" -eq 78 ] || fail "on tmpfs with always: exit $code instead of 78"
grep -q -- --allow-volatile "$WORK/refused" || fail "the refusal does not name --allow-volatile"
fact "kvd on tmpfs with --sync always" "refused with exit 78, naming --allow-volatile"
if $shared; then
    tour "$CLONE" disk --data-dir "$WORK/data"
else
    tour "$CLONE" tmpfs --allow-volatile
fi
tests tmpfs "$VOLATILE"
pass
