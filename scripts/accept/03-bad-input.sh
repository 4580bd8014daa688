#!/usr/bin/env bash
# What a careless or hostile client or operator does: each row of the tables has its code
# and reason or exit code, the text that must appear, and a following write that succeeds.
. "$(dirname "$0")/lib.sh"
begin 03-bad-input "Bad input is refused by name and harms nothing"

rows=$(cat "$ROOT"/kvd/tests/daemon/bad_input/*.rs | grep -cE '^ *row\(("|$)')
mapfile -t names < <(sed -n 's/^ran \([a-z_]*\) .*/\1/p' "$0")
run_tests kvd daemon "${names[@]}"
ran bad_input_is_refused_by_name_and_harms_nothing "over gRPC, one row each, $rows rows"
ran a_bad_operation_fills_its_slot_and_the_stream_goes_on "inside a pipeline"
ran a_configuration_that_cannot_be_used "bad TOML, unknown keys, bare numbers, and so on: exit 78"
ran an_address_or_a_directory_that_is_taken "port in use, directory locked by a second kvd"
ran a_place_that_holds_no_store "a data directory that is a file, read-only, without rights"
ran tmpfs_has_to_be_allowed "tmpfs with always"
ran damaged_files_are_refused_by_name "missing, renamed, duplicated, foreign and damaged files"
ran ten_thousand_streams_that_never_send "10,000 streams, memory bounded"
ran announcing_and_never_sending "announces and never sends, memory bounded"
ran sending_almost_everything_on_every_stream "sends all but the end on every stream, memory bounded"
ran asking_for_much_and_never_reading "never reads, memory bounded"
ran resetting_at_once "resets at once, memory bounded"
sed -n 's/^skipped: //p' "$TESTS" | sort -u | while read -r line; do fact "not shown on this machine" "$line"; done
pass
