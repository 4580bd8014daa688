#!/usr/bin/env bash
# Bytes that reach the device for each synced commit of 200 bytes, for each way in which a
# segment of the log comes into being, on ext4 on a loop device of its own, by the kernel's
# count of sectors. Segments are of the default size and prepared page by page; if one were
# written in larger pieces, or read ahead, the page cache would hold large folios, and every
# small commit through the mapping would write up to 2 MiB. Needs root and a loop device.
#   23-bytes.sh            2,000 commits each way
#   23-bytes.sh COMMITS
. "$(dirname "$0")/lib.sh"
begin 23-bytes "Bytes written to the device for each commit" "$@"

COMMITS=${1:-2000}
MOST=16384
SEGMENT=$((64 << 20))
MOUNT=$WORK/mount
LOOP=

[ "$(id -u)" = 0 ] || skip "a file system on a loop device needs root"
for tool in losetup mkfs.ext4 mount umount; do
    command -v "$tool" >/dev/null 2>&1 || skip "$tool is missing"
done

# Before the directory that holds all of it is removed, and with the code of the script.
# shellcheck disable=SC2317 # The trap calls it.
unmount() {
    local code=$? pid
    trap - EXIT ERR
    set +e
    for pid in "${OWN_PIDS[@]}"; do
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    OWN_PIDS=()
    mountpoint -q "$MOUNT" && umount -l "$MOUNT"
    [ -n "$LOOP" ] && losetup -d "$LOOP"
    cleanup "$code"
}
trap unmount EXIT

truncate -s 3G "$WORK/device"
LOOP=$(losetup --find --show "$WORK/device" 2>"$WORK/losetup.err") ||
    skip "no loop device: $(tail -n 1 "$WORK/losetup.err")"
STAT=/sys/block/$(basename "$LOOP")/stat
[ -r "$STAT" ] || skip "$STAT cannot be read"
# Nothing is left for the kernel to initialise later, which would count.
mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$LOOP"
mkdir "$MOUNT"
mount "$LOOP" "$MOUNT" 2>"$WORK/mount.err" || skip "mount: $(tail -n 1 "$WORK/mount.err")"
binaries kvd kvcli
fact "device" "loop, ext4 initialised at once; by the seventh field of /sys/block/…/stat"
fact "commits" "$COMMITS each way, one after the other, each synced: keys of 16 bytes, values of 184"

# Sectors of 512 bytes that were written since the device is there.
sectors() { awk '{ print $7 }' "$STAT"; }

# Until the next segments are prepared and nothing is left to be written.
quiet() {
    local before now calm=0 limit=$((SECONDS + 60))
    before=$(sectors)
    while [ "$calm" -lt 4 ]; do
        [ "$SECONDS" -lt "$limit" ] || fail "the device did not become quiet within 60 s"
        sync -f "$MOUNT"
        sleep 0.4
        now=$(sectors)
        if [ "$now" -eq "$before" ]; then calm=$((calm + 1)); else calm=0; fi
        before=$now
    done
}

VALUE=$(printf 'v%.0s' $(seq 184))
commit_some() {
    seq "$COMMITS" | awk -v value="$VALUE" '{ printf "set commit-%09d %s\n", $1, value }' >"$WORK/sets"
    "$KVCLI" --durability synced --window 1 <"$WORK/sets" >"$WORK/sets.out" 2>"$WORK/sets.err" ||
        fail "kvcli could not write: $(tail -n 1 "$WORK/sets.err")"
}

newest_segment() { find "$DATA" -name 'seg-*.kvlog' | sort | tail -n 1; }

# Fills the newest segment to its end, so that the next write goes into another one.
rotate() {
    local before now count=0
    before=$(newest_segment)
    head -c 1000000 /dev/zero | tr '\0' x >"$WORK/large"
    while now=$(newest_segment); [ "$now" = "$before" ]; do
        count=$((count + 1))
        [ "$count" -lt 80 ] || fail "80 MB did not fill $(basename "$before")"
        "$KVCLI" --durability synced set large --file "$WORK/large" >/dev/null
    done
}

# bytes WHAT: commits into the newest segment, and what that wrote.
bytes() {
    local before after revision each segment
    quiet
    # After a kill the first change jumps ahead in the numbering.
    "$KVCLI" --durability synced set before 1 >/dev/null
    segment=$(newest_segment)
    revision=$(status_of store_revision)
    before=$(sectors)
    commit_some
    after=$(sectors)
    [ "$(($(status_of store_revision) - revision))" -eq "$COMMITS" ] || fail "$1: not $COMMITS commits"
    [ "$(newest_segment)" = "$segment" ] || fail "$1: the segment was full before the end"
    each=$(((after - before) * 512 / COMMITS))
    [ "$each" -ge 200 ] || fail "$1: $each bytes for each commit: the device does not count"
    fact "$1" "$each bytes for each commit"
    if [ "$each" -gt "$MOST" ]; then
        BAD="${BAD:+$BAD; }$1: $each bytes, wanted <= $MOST"
    fi
}

# Forgets what the page cache knows of this file system.
remount() { umount "$MOUNT" && mount "$LOOP" "$MOUNT"; }

BAD=
for io in mmap pwrite; do
    DATA=$MOUNT/$io
    flags=(--sync always --set "log.io=$io" --set "log.segment_bytes=$((SEGMENT >> 20))MiB")
    start_kvd "$DATA" "${flags[@]}"
    bytes "$io: the first segment of a new store"
    rotate
    bytes "$io: rotated into a spare of this run"
    stop_kvd
    start_kvd "$DATA" "${flags[@]}"
    bytes "$io: the first segment after a start"
    rotate
    bytes "$io: rotated into a spare of an earlier run"
    quiet
    stop_kvd
    remount
    start_kvd "$DATA" "${flags[@]}"
    bytes "$io: the first segment after a start with nothing in the page cache"
    rotate
    bytes "$io: rotated into a spare of an earlier run, with nothing in the page cache"
    quiet
    kill_kvd
    remount
    start_kvd "$DATA" "${flags[@]}"
    bytes "$io: the first segment after a kill, with nothing in the page cache"
    rotate
    bytes "$io: rotated into a spare of a run that was killed"
    stop_kvd
    # Room for the other one.
    rm -rf "$DATA"
done
[ -z "$BAD" ] || missed "$BAD"
pass
