#!/usr/bin/env bash
# Mixed Get and Set with ghz against a running kvd, by reflection.
#
#   scripts/ghz.sh ENDPOINT [SECONDS [DIR]]
#
# Installs a pinned ghz with Go once. Writes what ghz found to DIR/get.json and
# DIR/set.json, and what it cost in user and system seconds to DIR/get.cpu and
# DIR/set.cpu; without DIR only the summaries are printed. Exits with 0, 1 (ghz failed), 2
# (usage) or 77 (no ghz). Load: benches/ghz.
set -euo pipefail

VERSION=v0.120.0
KEYS=1000
VALUE_BYTES=64

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
ENDPOINT=$1 LENGTH=${2:-10} OUT=${3:-}
[[ $LENGTH =~ ^[0-9]+$ ]] || { echo "ghz: SECONDS must be a whole number, got: $LENGTH" >&2; exit 2; }
ROOT=$(cd "$(dirname "$0")/.." && pwd)
TOOLS=${ACCEPT_TOOLS_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kvd-tools}
BIN=$TOOLS/ghz-$VERSION
GHZ=$BIN/ghz

if [ ! -x "$GHZ" ]; then
    command -v go >/dev/null 2>&1 || { echo "ghz: SKIPPED: Go is missing, it builds ghz" >&2; exit 77; }
    mkdir -p "$BIN"
    # Outside of any module, and only what the checksum database knows.
    (cd "$BIN" && GOBIN=$BIN GOFLAGS=-buildvcs=false go install "github.com/bojand/ghz/cmd/ghz@$VERSION") >&2 ||
        { echo "ghz: SKIPPED: go install github.com/bojand/ghz/cmd/ghz@$VERSION failed" >&2; exit 77; }
fi
command -v python3 >/dev/null 2>&1 || { echo "ghz: SKIPPED: python3 is missing, it writes the messages" >&2; exit 77; }

WORK=$(mktemp -d "${TMPDIR:-/tmp}/kvd-ghz.XXXXXX")
PIDS=()
finish() {
    local code=$? pid
    trap - EXIT
    for pid in "${PIDS[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$WORK"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# A message for each key: bytes are base64 in JSON.
python3 - "$WORK" "$KEYS" "$VALUE_BYTES" <<'PYTHON'
import base64, json, random, sys
work, keys, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
text = lambda data: base64.b64encode(data).decode()
chance = random.Random(1)
sets = [{"key": text(b"ghz-%012d" % n), "value": text(chance.randbytes(size))} for n in range(keys)]
chance.shuffle(sets)
gets = [{"key": message["key"]} for message in sets]
chance.shuffle(gets)
json.dump(sets, open(work + "/set.data", "w"))
json.dump(gets, open(work + "/get.data", "w"))
PYTHON

# run NAME FLAG…: one scenario; its result is in $WORK/NAME.json.
run() {
    local name=$1 TIMEFORMAT='%U %S'
    shift
    { time "$GHZ" --config "$ROOT/benches/ghz/$name.json" --data-file "$WORK/$name.data" \
        -O json -o "$WORK/$name.json" "$@" "$ENDPOINT" >"$WORK/$name.out" 2>&1; } 2>"$WORK/$name.cpu" ||
        { cat "$WORK/$name.out" >&2; return 1; }
}

# Every key is there before it is read.
run set -n "$KEYS"
run get --duration "${LENGTH}s" & PIDS+=($!)
run set --duration "${LENGTH}s" & PIDS+=($!)
failed=0
for pid in "${PIDS[@]}"; do wait "$pid" || failed=1; done
PIDS=()
[ "$failed" -eq 0 ] || exit 1

for name in get set; do
    python3 - "$WORK/$name.json" "$(cat "$WORK/$name.cpu")" <<'PYTHON'
import json, sys
found, cpu = json.load(open(sys.argv[1])), sum(map(float, sys.argv[2].split()))
at = {d["percentage"]: d["latency"] / 1e6 for d in found["latencyDistribution"] or []}
print("%s: %d calls, %.0f/s, p50 %.2f ms, p99 %.2f ms, statuses %s, ghz %.0f us of CPU each" % (
    found["name"], found["count"], found["rps"], at.get(50, 0), at.get(99, 0),
    found["statusCodeDistribution"], cpu * 1e6 / max(found["count"], 1)))
PYTHON
    if [ -n "$OUT" ]; then
        mkdir -p "$OUT"
        cp "$WORK/$name.json" "$WORK/$name.cpu" "$OUT/"
    fi
done
