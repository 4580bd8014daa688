#!/usr/bin/env bash
# What only a real kernel shows, as root: power cuts of a file system under load, a sync that
# fails once, and a segment that is cut short under its map.
#   30-real-kernel.sh [CUTS [ROUNDS [SEED]]]    300 cuts in each policy, 10 rounds of each failure
#   30-real-kernel.sh --quick                   3 cuts, 1 round
. "$(dirname "$0")/lib.sh"
begin 30-real-kernel "Power cuts and failing disks on a real kernel" "$@"

CUTS=${1:-300} ROUNDS=${2:-10} SEED=${3:-1}
bites=(--must-lose)
if [ "${1:-}" = --quick ]; then
    CUTS=3 ROUNDS=1 bites=()
elif [ "$CUTS" -lt 100 ]; then
    bites=()
fi
[ "$(id -u)" = 0 ] || skip "mounting a file system needs root"
need mkfs.ext4 e2fsprogs
need losetup mount
need python3 python3
free=$(df --output=avail -m "$WORK" | tail -n 1)
[ "$free" -gt 1500 ] || skip "only $free MiB are free in $WORK"

# Whatever is still mounted below the directory that is removed at the end.
# shellcheck disable=SC2317 # called by the trap
unmount() {
    local at
    for at in "$WORK"/stores-*/*; do
        mountpoint -q "$at" 2>/dev/null || continue
        for _ in 1 2 3 4 5; do
            umount "$at" 2>/dev/null && break
            sleep 0.5
        done
        ! mountpoint -q "$at" || umount -l "$at"
    done
}
trap 'code=$?; unmount; cleanup "$code"' EXIT

POWER=$ROOT/scripts/python/power_cut.py
mkdir -p "$WORK/stores-0/probe"
"$POWER" make "$WORK/stores-0/probe" 2>"$WORK/mount.err" ||
    skip "no ext4 can be mounted on a loop device here: $(tail -n 1 "$WORK/mount.err")"
"$POWER" cut "$WORK/stores-0/probe" 2>"$WORK/mount.err" ||
    skip "FS_IOC_SHUTDOWN does not work here: $(tail -n 1 "$WORK/mount.err")"
"$POWER" drop "$WORK/stores-0/probe"

binaries kvd killloop
for policy in always interval:20ms never; do
    dir=$WORK/stores-${policy%%:*}
    "$KILLLOOP" --kvd "$KVD" --cycles "$CUTS" --seed "$SEED" --policy "$policy" "${bites[@]}" --dir "$dir" \
        --power "$POWER" >"$WORK/report.md" 2>"$WORK/killloop.err" || fail "$policy: a promise was broken, or the loop could not run"
    fact "$policy: FS_IOC_SHUTDOWN without a flush of the journal under load" "$(head -n 1 "$WORK/report.md")"
    { echo "## $policy"; sed 1d "$WORK/report.md"; echo; } >"$WORK/table.md"
    text "$WORK/table.md"
done
fact "SYNCED acknowledgements lost, revisions called durable and lost, inventions" "none"

python_venv grpc grpcio==1.85.1 grpcio-tools==1.85.1 grpcio-status==1.85.1
mkdir "$WORK/stubs"
"$PYTHON" -m grpc_tools.protoc -I "$ROOT/proto" --python_out="$WORK/stubs" \
    --grpc_python_out="$WORK/stubs" "$ROOT"/proto/kvd/v1/*.proto || fail "grpc_tools.protoc cannot compile proto/"
stories=(truncate)
if command -v strace >/dev/null 2>&1 && strace -q -e trace=none true 2>"$WORK/strace.err"; then
    stories=(sync truncate)
else
    fact "a sync that fails" "not shown: strace is missing or may not trace"
fi
for story in "${stories[@]}"; do
    mkdir "$WORK/$story"
    PYTHONPATH=$WORK/stubs "$PYTHON" "$ROOT/scripts/python/log_fails.py" "$story" --kvd "$KVD" --dir "$WORK/$story" \
        --rounds "$ROUNDS" --seed "$SEED" --set log.segment_bytes=16MiB --set limits.batch_bytes=1100KiB \
        >"$WORK/found.tsv" 2>"$WORK/log_fails.err" || fail "$story: log_fails.py found something that is not so"
    while IFS=$'\t' read -r what figure; do fact "$story: $what" "$figure"; done <"$WORK/found.tsv"
done
pass
