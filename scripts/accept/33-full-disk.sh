#!/usr/bin/env bash
# The disk is filled under load by something else, which goes on taking what kvd gives back,
# and is freed again: on a small ext4 of its own, as root.
#   33-full-disk.sh            4 rounds, values of 16 MiB among small ones, 1.5 GiB
#   33-full-disk.sh --quick    1 round, values of 1 MiB, 384 MiB
. "$(dirname "$0")/lib.sh"
begin 33-full-disk "A full disk refuses writes, and loses and invents nothing" "$@"

ROUNDS=4 VALUE=$((16 << 20)) SIZE=1536M SECONDS_EACH=4
SETTINGS=(log.segment_bytes=128MiB limits.value_bytes=16MiB limits.batch_bytes=20MiB)
if [ "${1:-}" = --quick ]; then
    ROUNDS=1 VALUE=$((1 << 20)) SIZE=384M SECONDS_EACH=1
    SETTINGS=(log.segment_bytes=16MiB limits.batch_bytes=1100KiB snapshot.log_bytes=32MiB log.retain_bytes=32MiB)
fi
[ "$(id -u)" = 0 ] || skip "mounting a file system needs root"
need mkfs.ext4 e2fsprogs
need losetup mount

free=$(df --output=avail -m "$WORK" | tail -n 1)
[ "$free" -gt 2500 ] || skip "only $free MiB are free in $WORK"
truncate -s "$SIZE" "$WORK/image"
mkfs.ext4 -q -m 0 "$WORK/image" 2>"$WORK/mkfs.err"
mkdir "$WORK/disk"
mount -o loop "$WORK/image" "$WORK/disk" 2>"$WORK/mount.err" ||
    skip "no loop device can be mounted here: $(tail -n 1 "$WORK/mount.err")"
# Before what `begin` cleans up: a mounted directory cannot be removed.
# shellcheck disable=SC2317 # called by the trap
unmount() {
    for _ in 1 2 3 4 5; do
        umount "$WORK/disk" 2>/dev/null && return 0
        sleep 0.5
    done
    umount -l "$WORK/disk"
}
trap 'code=$?; unmount; cleanup "$code"' EXIT

python_venv grpc grpcio==1.85.1 grpcio-tools==1.85.1 grpcio-status==1.85.1
binaries kvd
mkdir "$WORK/stubs"
"$PYTHON" -m grpc_tools.protoc -I "$ROOT/proto" --python_out="$WORK/stubs" \
    --grpc_python_out="$WORK/stubs" "$ROOT"/proto/kvd/v1/*.proto || fail "grpc_tools.protoc cannot compile proto/"

fact disk "$SIZE, ext4 on a loop device"
fact settings "${SETTINGS[*]}"
PYTHONPATH=$WORK/stubs "$PYTHON" "$ROOT/scripts/python/full_disk.py" --kvd "$KVD" --dir "$WORK/disk" \
    --rounds "$ROUNDS" --value "$VALUE" --seconds "$SECONDS_EACH" "${SETTINGS[@]/#/--set=}" \
    >"$WORK/found.tsv" 2>"$WORK/full_disk.err" || fail "full_disk.py found something that is not so"
while IFS=$'\t' read -r what figure; do fact "$what" "$figure"; done <"$WORK/found.tsv"
pass
