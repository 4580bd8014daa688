#!/usr/bin/env bash
# Backups taken while two writers write and snapshots take the log away: each is restored and
# held against what was done, record by record with its version; so are moments in between.
#   36-backup.sh            20 backups, 50 moments
#   36-backup.sh --quick    4 backups, 8 moments
. "$(dirname "$0")/lib.sh"
begin 36-backup "Every backup and every moment in it comes back exactly" "$@"

BACKUPS=20 MOMENTS=50
if [ "${1:-}" = --quick ]; then BACKUPS=4 MOMENTS=8; fi
fact backups "$BACKUPS"
fact moments "$MOMENTS"
(cd "$ROOT" && KVD_BACKUPS=$BACKUPS KVD_MOMENTS=$MOMENTS cargo test --locked -p kvcore --test backup -- --nocapture) \
    >"$WORK/out" 2>&1 || { cat "$WORK/out"; fail "a restored store was not what it had been"; }
LINE=$(grep 'all as they were' "$WORK/out") || fail "the test did not say what it did"
say "$LINE"
fact found "$LINE"
pass
