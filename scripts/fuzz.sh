#!/usr/bin/env bash
# Fuzzes the decoders, one target after the other, on one core:
#
#   scripts/fuzz.sh [SECONDS [TARGET…]]     60 s each, and all of them, by default
#
# Needs a nightly compiler (rustup toolchain install nightly); installs cargo-fuzz into a
# directory of its own. Inputs that were found are kept in fuzz/corpus and used again; the
# first ones are made of the golden files. Prints a line per target, and exits with 1 if a
# target found something: the input is then under fuzz/artifacts. 77: it cannot run here.
#
#   FUZZ_LOG      write each target's whole output into this directory
#   CARGO_TARGET_DIR, ACCEPT_TOOLS_DIR   as elsewhere
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
VERSION=0.13.2
TOOLS=${ACCEPT_TOOLS_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kvd-tools}
TOOL=$TOOLS/cargo-fuzz/bin
LOGS=${FUZZ_LOG:-}
OWN_LOGS=
seconds=${1:-60}
[ "$#" -eq 0 ] || shift
case $seconds in '' | *[!0-9]*) echo "fuzz: $seconds is no number of seconds" >&2; exit 2 ;; esac

skip() { echo "fuzz: SKIPPED: $*" >&2; exit 77; }

rustup run nightly cargo --version >/dev/null 2>&1 ||
    skip "there is no nightly compiler: rustup toolchain install nightly --profile minimal"
if ! "$TOOL/cargo-fuzz" --version 2>/dev/null | grep -q " $VERSION$"; then
    cargo install cargo-fuzz --locked --version "$VERSION" --root "$TOOLS/cargo-fuzz" >&2 ||
        skip "cargo install cargo-fuzz failed"
fi
PATH=$TOOL:$PATH

# The target directory is the fuzzers' own: other flags would have all else built again.
target_dir=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
export CARGO_TARGET_DIR=$target_dir
programs=$target_dir/$(rustc -vV | sed -n 's/^host: //p')/release
# The lock of this directory says which versions.
(cd fuzz && cargo +nightly fuzz build --target-dir "$target_dir") >&2 || exit 1
table=$("$programs/seeds" fuzz/corpus) || exit 1

if [ -z "$LOGS" ]; then
    LOGS=$(mktemp -d "${TMPDIR:-/tmp}/kvd-fuzz.XXXXXX")
    OWN_LOGS=$LOGS
fi
mkdir -p "$LOGS"
CHILD=
trap '[ -z "$CHILD" ] || kill "$CHILD" 2>/dev/null; [ -z "$OWN_LOGS" ] || rm -rf "$OWN_LOGS"' EXIT
trap 'exit 130' INT TERM

code=0
wanted=("$@")
[ "$#" -gt 0 ] || mapfile -t wanted < <(echo "$table" | cut -d ' ' -f 1)
for name in "${wanted[@]}"; do
    longest=$(echo "$table" | awk -v name="$name" '$1 == name { print $2 }')
    if [ -z "$longest" ]; then
        echo "fuzz: no target $name; there are: $(echo "$table" | cut -d ' ' -f 1 | xargs)" >&2
        exit 2
    fi
    log=$LOGS/$name.log
    mkdir -p "fuzz/artifacts/$name"
    nice -n 19 "$programs/$name" -max_total_time="$seconds" -max_len="$longest" \
        -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
        -artifact_prefix="fuzz/artifacts/$name/" "fuzz/corpus/$name" >"$log" 2>&1 &
    CHILD=$!
    ended=0
    wait "$CHILD" || ended=$?
    CHILD=
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(grep -o ' cov: [0-9]*' "$log" | tail -n 1 | tr -dc 0-9)
    kept=$(find "fuzz/corpus/$name" -type f | wc -l)
    if [ "$ended" -eq 0 ]; then
        echo "$name: ${runs:-?} inputs in $seconds s, ${covered:-?} edges, $kept inputs kept, nothing found"
    else
        code=1
        echo "$name: FOUND something after ${runs:-?} inputs"
        grep -E 'panicked at|ERROR: |SUMMARY|Test unit written' -A 1 "$log" | head -n 12
    fi
done
exit "$code"
