#!/usr/bin/env bash
# Power cuts of a block device between any two of its flushes: a logged device with an ext4 and a
# kvd under load on it, then images of what the device may hold after a cut, each mounted, and a
# kvd on it held to what the clients had been told. Needs root, /dev/fuse and loop devices.
#   31-block-images.sh [FLUSHES [DRAWN [SEED]]]   60 flushes of each of three logs, at each the certain image
#                                                 and 20 drawn ones; of a start on an image 40
#   31-block-images.sh --quick                    8 flushes of one log, 4 drawn
#
# Nothing is unmounted here: mounts, loop devices and daemons go with the processes, see
# scripts/python/block_disk.py. If an image is found that is not as it has to be, the log is kept,
# and the command that makes and judges that image alone is told.
. "$(dirname "$0")/lib.sh"
begin 31-block-images "Power cuts of a block device, between any two flushes" "$@"

FLUSHES=${1:-60} DRAWN=${2:-20} SEED=${3:-1} SECONDS_EACH=5 LIES=30 RESTART_FLUSHES=40
if [ "${1:-}" = --quick ]; then
    FLUSHES=8 DRAWN=4 SECONDS_EACH=1 LIES=6
fi
[ "$(id -u)" = 0 ] || skip "mounting a file system needs root"
[ -c /dev/fuse ] || skip "there is no /dev/fuse"
[ -c /dev/loop-control ] || skip "there are no loop devices"
need mkfs.ext4 e2fsprogs
need setpriv util-linux
need python3 python3
free=$(df --output=avail -m "$WORK" | tail -n 1)
[ "$free" -gt 1000 ] || skip "only $free MiB are free in $WORK"

python_venv grpc grpcio==1.85.1 grpcio-tools==1.85.1 grpcio-status==1.85.1
# Outside the directory that goes in any case.
LOGGED=$(mktemp -d "${TMPDIR:-/tmp}/kvd-block-images.XXXXXX")
KEEP_LOG=
# shellcheck disable=SC2317 # called by the trap
drop_log() {
    local pid
    for pid in "${OWN_PIDS[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    [ -n "$KEEP_LOG" ] || rm -rf "$LOGGED"
}
trap 'code=$?; drop_log; cleanup "$code"' EXIT
mkdir "$LOGGED/stubs"
"$PYTHON" -m grpc_tools.protoc -I "$ROOT/proto" --python_out="$LOGGED/stubs" \
    --grpc_python_out="$LOGGED/stubs" "$ROOT"/proto/kvd/v1/*.proto || fail "grpc_tools.protoc cannot compile proto/"
SETTINGS=(log.segment_bytes=1MiB limits.batch_bytes=64KiB limits.value_bytes=16KiB
    snapshot.log_bytes=512KiB snapshot.rate=none log.retain_bytes=0B)

# images WHAT [OPTION…]: in the background, so that a signal is heeded at once.
images() {
    local code=0
    PYTHONPATH=$LOGGED/stubs "$PYTHON" "$ROOT/scripts/python/block_images.py" "$@" \
        >"$WORK/found.tsv" 2>"$WORK/block_images.err" &
    OWN_PIDS+=($!)
    wait $! || code=$?
    unset 'OWN_PIDS[-1]'
    return "$code"
}
facts() { while IFS=$'\t' read -r what figure; do fact "$1: $what" "$figure"; done <"$WORK/found.tsv"; }

images probe --dir "$LOGGED/probe" ||
    skip "no logged device can be mounted here: $(tail -n 1 "$WORK/block_images.err")"
binaries kvd
fact settings "${SETTINGS[*]}"
fact "seed, clients, seconds of load: twice" "$SEED, 6, $SECONDS_EACH"

# judge NAME DIR [OPTION…]: images of the log in DIR/log.
judge() {
    local name=$1 dir=$2
    shift 2
    if ! images judge "${common[@]}" --dir "$dir" --drawn "$DRAWN" "$@"; then
        KEEP_LOG=1
        say "the log is kept in $LOGGED" >&2
        fail "$name: an image is not as it has to be"
    fi
    facts "$name"
}

# log_and_judge NAME SYNCED SETTING…: one log with so many per cent of SYNCED writes, and its images.
log_and_judge() {
    local name=$1 synced=$2 dir=$LOGGED/$1
    shift 2
    mkdir "$dir"
    common=(--kvd "$KVD" --dir "$dir" --seed "$SEED" "${SETTINGS[@]/#/--set=}" "${@/#/--set=}")
    images record "${common[@]}" --seconds "$SECONDS_EACH" --synced "$synced" || fail "$name: no log was recorded"
    facts "$name"
    judge "$name" "$dir" --flushes "$FLUSHES" --must-lose
}

# restart_and_judge NAME: starts on one of these images are logged, and cut in turn.
restart_and_judge() {
    images restart "${common[@]}" --drawn "$DRAWN" || fail "$1: no start was recorded"
    facts "$1, restart"
    judge "$1, restart" "$LOGGED/$1/again" --flushes "$RESTART_FLUSHES"
}

log_and_judge always 50 log.sync=always
images judge "${common[@]}" --flushes "$LIES" --drawn 1 --lie 3 || fail "a device that ignores flushes is not found out"
facts always
if [ "${1:-}" != --quick ]; then
    restart_and_judge always
    # More is written between two flushes where hardly anybody waits for one.
    log_and_judge interval 4 log.sync=interval:20ms
    restart_and_judge interval
    log_and_judge pwrite 20 log.sync=always log.io=pwrite
fi
pass
