# shellcheck shell=bash
# What the acceptance scripts share. Source it, call `begin`, do the work, call `pass` (or
# `missed`, if figures are short of what was wanted).
#
# A script exits with 0 (shown), 1 (not so) or 77 (cannot be shown here; the note says
# what was tried). It ends every process that it started and no other, and removes its
# temporary directory, also when it fails.
#
#   ACCEPT_BIN_DIR       take kvd, kvcli and the drivers from here instead of building them
#   ACCEPT_EVIDENCE_DIR  write the note here instead of docs/evidence
#   ACCEPT_PROFILE       build for figures with this profile, such as dist [release]
#   ACCEPT_TOOLS_DIR     keep what has to be installed for a check here
#   ACCEPT_KEEP          leave the temporary directory of a failed script

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TOOLS=${ACCEPT_TOOLS_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kvd-tools}
WORK=
OWN_PIDS=()

# begin NAME TITLE: NAME is the script's, TITLE what it shows.
begin() {
    NAME=$1
    TITLE=$2
    STARTED=$SECONDS
    COMMAND="scripts/accept/$(basename "$0")${3:+ ${*:3}}"
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/kvd-$NAME.XXXXXX")
    NOTE=$WORK/note.md
    : >"$NOTE"
    trap cleanup EXIT
    trap 'exit 130' INT TERM
    trap 'echo "$NAME: line $LINENO: $BASH_COMMAND failed" >&2' ERR
    set -E
}

# cleanup [CODE]: at the end of a script, and of whatever trap it sets for that itself.
cleanup() {
    local code=${1:-$?} pid
    trap - EXIT ERR
    for pid in "${OWN_PIDS[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [ "$code" -ne 0 ] && [ "$code" -ne 77 ]; then
        echo "$NAME: FAILED" >&2
        if [ -n "${ACCEPT_KEEP:-}" ]; then
            echo "$NAME: see $WORK" >&2
            exit "$code"
        fi
    fi
    [ -z "$WORK" ] || rm -rf "$WORK"
    exit "$code"
}

say() { echo "$NAME: $*"; }

fail() {
    trap - ERR
    echo "$NAME: $*" >&2
    local log
    for log in "$WORK"/*.err; do
        [ -s "$log" ] || continue
        echo "--- the end of $(basename "$log")" >&2
        tail -n 15 "$log" >&2
    done
    exit 1
}

# skip REASON: the note of an earlier run stays as it is.
skip() {
    trap - ERR
    echo "$NAME: SKIPPED: $*" >&2
    exit 77
}

# fact WHAT FIGURE: one row of the note.
fact() {
    say "$1: $2"
    echo "| $1 | $2 |" >>"$NOTE"
}

# text FILE: Markdown that goes below the rows of the note.
text() { cat "$1" >>"$WORK/text.md"; }

commit() {
    local id dirty=
    id=$(git -C "$ROOT" rev-parse --short=12 HEAD 2>/dev/null) || { echo unknown; return; }
    [ -z "$(git -C "$ROOT" status --porcelain -- . ':!docs/evidence' ':!docs/performance*' 2>/dev/null)" ] || dirty=', with changes'
    echo "$id$dirty"
}

# write_note VERDICT
write_note() {
    local dir=${ACCEPT_EVIDENCE_DIR:-$ROOT/docs/evidence}
    mkdir -p "$dir"
    {
        echo "# $TITLE"
        echo
        echo "Written by its script; $1."
        echo
        echo "| | |"
        echo "| --- | --- |"
        echo "| commit | $(commit) |"
        echo "| command | \`$COMMAND\` |"
        echo "| machine | $(nproc) cores, $(uname -sr), $(stat -f -c %T "$WORK") |"
        cat "$NOTE"
        echo "| took | $((SECONDS - STARTED)) s |"
        if [ -s "$WORK/text.md" ]; then
            echo
            cat "$WORK/text.md"
        fi
    } >"$dir/$NAME.md"
}

# pass: writes the note and ends well.
pass() {
    write_note "shown to hold"
    say "passed in $((SECONDS - STARTED)) s"
    exit 0
}

# missed WHAT: what was measured is kept in the note, and the script fails.
missed() {
    write_note "**not all of it holds**: $1"
    fail "$1"
}

# need TOOL PACKAGE: a program, from Debian if it is missing.
need() {
    command -v "$1" >/dev/null 2>&1 && return
    apt_install "$2"
    command -v "$1" >/dev/null 2>&1 || skip "$1 is missing, and $2 did not bring it"
}

# apt_install PACKAGE
apt_install() {
    local log=$WORK/apt.log
    command -v apt-get >/dev/null 2>&1 || skip "$1 is missing, and there is no apt-get"
    [ "$(id -u)" = 0 ] || skip "$1 is missing: apt-get install $1 needs root"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$1" >"$log" 2>&1 && return
    apt-get update -q >>"$log" 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$1" >>"$log" 2>&1 && return
    skip "$1 is missing; apt-get update and apt-get install $1 failed: $(tail -n 1 "$log")"
}

# peer TOOL PACKAGE: a server to measure against, from Debian if it is missing. Its package
# must not start a service. False: it could not be installed.
peer() {
    local policy=/usr/sbin/policy-rc.d made=false code=0
    ! command -v "$1" >/dev/null 2>&1 || return 0
    if [ "$(id -u)" = 0 ] && [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=true
    fi
    (trap - ERR; apt_install "$2") || code=$?
    ! $made || rm -f "$policy"
    [ "$code" -eq 0 ] && command -v "$1" >/dev/null 2>&1
}

# kvbench COMMAND [FLAG…]: builds it and kvd, or takes both from ACCEPT_BIN_DIR, runs it, and
# takes its report into the note. Sets BENCH_CODE, its exit code.
kvbench() {
    local out=$WORK/kvbench-$1.md profile=${ACCEPT_PROFILE:-release} dir=${ACCEPT_BIN_DIR:-}
    if [ -z "$dir" ]; then
        (cd "$ROOT" && cargo build --profile "$profile" --locked --workspace --bin kvbench --bin kvd) >&2
        dir=${CARGO_TARGET_DIR:-$ROOT/target}/$profile
    fi
    BENCH_CODE=0
    (cd "$ROOT" && "$dir/kvbench" "$@" --kvd "$dir/kvd") >"$out" || BENCH_CODE=$?
    export BENCH_CODE
    cat "$out"
    # The report is a page of its own: its headings go one level down.
    { sed 's/^#/##/' "$out"; echo; } >"$out.text"
    text "$out.text"
}

# figures NAME: where the figures of a bench are kept for the page that is published.
figures() {
    echo "${ACCEPT_EVIDENCE_DIR:-$ROOT/docs}/performance/$1.json"
}

# binaries [NAME…]: builds what is asked for and sets KVD, KVCLI, KILLLOOP, LINEAR, COUNTER.
binaries() {
    local dir=${ACCEPT_BIN_DIR:-} wanted=("$@") name args=()
    if [ -z "$dir" ]; then
        for name in "${wanted[@]}"; do args+=(--bin "$name"); done
        (cd "$ROOT" && cargo build --release --locked --workspace "${args[@]}") >&2
        dir=${CARGO_TARGET_DIR:-$ROOT/target}/release
    fi
    for name in "${wanted[@]}"; do
        [ -x "$dir/$name" ] || fail "$dir/$name is missing"
    done
    KVD=$dir/kvd KVCLI=$dir/kvcli KILLLOOP=$dir/killloop LINEAR=$dir/linear COUNTER=$dir/counter
    export KVD KVCLI KILLLOOP LINEAR COUNTER
}

# field NAME LINE: the value of NAME=… in a line.
field() {
    local word
    for word in $2; do
        case $word in "$1="*) echo "${word#*=}"; return ;; esac
    done
    fail "no $1= in: $2"
}

# start_kvd DIR [FLAG…]: starts the daemon on free ports and waits for its ready line.
# Sets KVD_PID, READY, KVCLI_ENDPOINT.
start_kvd() {
    local dir=$1 out err=$WORK/kvd.err limit=$((SECONDS + 60))
    shift
    out=$(mktemp "$WORK/ready.XXXXXX")
    "$KVD" --data-dir "$dir" --listen 127.0.0.1:0 --http-listen 127.0.0.1:0 "$@" \
        >"$out" 2>>"$err" &
    KVD_PID=$!
    OWN_PIDS+=("$KVD_PID")
    until grep -q '^kvd ready ' "$out"; do
        if ! kill -0 "$KVD_PID" 2>/dev/null; then
            fail "kvd ended before it was ready"
        fi
        [ "$SECONDS" -lt "$limit" ] || fail "kvd did not get ready within 60 s"
        sleep 0.02
    done
    READY=$(cat "$out")
    KVCLI_ENDPOINT=$(field listen "$READY")
    export KVCLI_ENDPOINT
}

# kill_kvd: SIGKILL, and waits until it is gone.
kill_kvd() {
    kill -KILL "$KVD_PID"
    wait "$KVD_PID" 2>/dev/null || true
}

# stop_kvd: SIGTERM; it must drain and exit with 0.
stop_kvd() {
    local code=0
    kill -TERM "$KVD_PID"
    wait "$KVD_PID" || code=$?
    [ "$code" -eq 0 ] || fail "kvd exited with $code on SIGTERM"
}

# status_of NAME: one value of `kvcli status`.
status_of() {
    local line
    line=$("$KVCLI" -o raw status | grep "^$1=") || fail "kvcli status has no $1"
    echo "${line#*=}"
}

# python_venv NAME PACKAGE…: sets PYTHON to an interpreter that has the packages.
python_venv() {
    local dir=$TOOLS/venv-$1 log=$WORK/pip.log
    shift
    PYTHON=$dir/bin/python
    if ! "$PYTHON" -m pip --version >/dev/null 2>&1; then
        command -v python3 >/dev/null 2>&1 || apt_install python3
        rm -rf "$dir"
        if ! python3 -m venv "$dir" >"$log" 2>&1; then
            apt_install python3-venv
            python3 -m venv "$dir" >"$log" 2>&1 || skip "python3 -m venv: $(tail -n 1 "$log")"
        fi
    fi
    "$PYTHON" -m pip install -q --disable-pip-version-check "$@" >"$log" 2>&1 ||
        skip "pip install $* failed: $(tail -n 1 "$log")"
}

# run_tests PACKAGE TARGET [NAME…]: runs the tests of one target, or those of it whose names
# hold one of these; TESTS is its output. Built as `cargo test --workspace` builds it: with
# the package alone its dependencies have other features and are compiled once more.
run_tests() {
    local package=$1 target=$2
    shift 2
    TESTS=$WORK/$target.out
    if ! (cd "$ROOT" && cargo test --locked --workspace --test "$target" -- --show-output "$@") \
        >"$TESTS" 2>"$WORK/cargo.err"; then
        grep -E '^test .*FAILED|^error|panicked at' "$TESTS" "$WORK/cargo.err" >&2 || true
        sed -n '/^failures:/,$p' "$TESTS" | head -n 60 >&2
        fail "the tests of $package/$target failed"
    fi
}

# ran NAME WHAT: the test of that name was run and has passed.
ran() {
    grep -qE "^test ([a-z0-9_]+::)*$1 \.\.\. ok$" "$TESTS" || fail "$(basename "$TESTS" .out): no test $1 ran"
    fact "$2" "\`$1\`"
}
