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
export KVD_BACKUPS=$BACKUPS KVD_MOMENTS=$MOMENTS
run_tests kvcore backup
LINE=$(grep 'all as they were' "$TESTS") || fail "the test did not say what it did"
fact found "$LINE"
ran every_moment_that_the_files_hold_comes_back_exactly "shown by"
ran a_file_that_is_cut_or_changed_is_refused_and_nothing_is_written "cut at every byte, a bit flipped in every byte"
ran a_full_directory_and_files_that_do_not_belong_together_are_refused "an existing target, foreign and missing files"
pass
