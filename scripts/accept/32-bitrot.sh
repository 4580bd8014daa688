#!/usr/bin/env bash
# One flipped bit in one of a million records of a sealed segment: found while serving and at
# rest, with offset, revision and key; salvage keeps all the others; the damaged one is not served.
#   32-bitrot.sh            1,000,000 records
#   32-bitrot.sh --quick    60,000 records
. "$(dirname "$0")/lib.sh"
begin 32-bitrot "One flipped bit is found, and costs one record" "$@"

COUNT=1000000
[ "${1:-}" != --quick ] || COUNT=60000
DAMAGED=$((COUNT / 2))
command -v python3 >/dev/null || apt_install python3
binaries kvd kvcli
fact records "$COUNT"

# Every value occurs once, so that the place to damage can be found by its text.
records() { awk -v n="$COUNT" 'BEGIN { for (i = 1; i <= n; i++) printf "key-%07d\tvalue-of-%07d\n", i, i }'; }
records | sed 's/^/set /; s/\t/ /' >"$WORK/script"
FLAGS=(--set log.segment_bytes=16MiB --set limits.batch_bytes=2MiB)
if [ "$COUNT" -lt 100000 ]; then
    FLAGS=(--set log.segment_bytes=1MiB --set limits.batch_bytes=64KiB --set limits.value_bytes=32KiB)
fi
start_kvd "$WORK/data" --allow-volatile --set snapshot.log_bytes=none "${FLAGS[@]}"
"$KVCLI" --durability none <"$WORK/script" >/dev/null 2>"$WORK/load.err" || fail "the records were not taken"
[ "$(status_of keys)" = "$COUNT" ] || fail "not all records are there"
SEGMENTS=$(status_of log_segments)
[ "$SEGMENTS" -gt 1 ] || fail "no segment is sealed"
fact segments "$SEGMENTS"

"$KVCLI" verify >"$WORK/before" 2>"$WORK/verify.err" || fail "verify calls a whole store damaged"
fact "verify of the whole store" "$(tr '\n' ' ' <"$WORK/before")"

# One bit of the last digit of the value.
read -r FILE OFFSET < <(python3 - "$WORK/data" "$(printf 'value-of-%07d' "$DAMAGED")" <<'PYTHON'
import pathlib, sys
directory, wanted = pathlib.Path(sys.argv[1]), sys.argv[2].encode()
segments = sorted(directory.glob("seg-*.kvlog"))
for path in segments[:-1]:
    data = bytearray(path.read_bytes())
    at = data.find(wanted)
    if at >= 0:
        at += len(wanted) - 1
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([data[at] ^ 1]))
        print(path.name, at)
        break
PYTHON
)
[ -n "${OFFSET:-}" ] || fail "the record is in no sealed segment"
KEY=$(printf 'key-%07d' "$DAMAGED")
fact damaged "one bit of the value of $KEY: $FILE, byte $OFFSET"

code=0
"$KVCLI" verify --rate 1GiB >"$WORK/found" 2>"$WORK/verify.err" || code=$?
[ "$code" = 1 ] || fail "verify ended with $code"
LINE=$(grep "^$FILE" "$WORK/found") || fail "verify does not name the file"
[ "$(cut -f2 <<<"$LINE")" = "$OFFSET" ] || fail "verify names another byte: $LINE"
[ "$(cut -f4 <<<"$LINE")" = "$KEY" ] || fail "verify names another key: $LINE"
fact "verify, while serving" "exit 1; byte $(cut -f2 <<<"$LINE"), revision $(cut -f3 <<<"$LINE"), key $(cut -f4 <<<"$LINE")"
code=0
"$KVD" repair "$WORK/data" --plan >/dev/null 2>"$WORK/used.err" || code=$?
[ "$code" = 75 ] || fail "repair of a store in use ended with $code"
fact "repair of the store in use" "exit 75"
stop_kvd

code=0
"$KVD" check "$WORK/data" >"$WORK/check" 2>"$WORK/check.err" || code=$?
[ "$code" = 65 ] || fail "check ended with $code"
grep -q "byte $OFFSET: .*one bit is wrong; revision [0-9]* is lost" "$WORK/check" || fail "check does not name the byte"
grep -q "key $KEY of revision" "$WORK/check" || fail "check does not name the key"
fact "check, at rest" "exit 65; \`$(sed -n "s/^ *\(byte $OFFSET: .*\)/\1/p" "$WORK/check")\`"
code=0
"$KVD" --data-dir "$WORK/data" --listen 127.0.0.1:0 --http-listen off --allow-volatile >"$WORK/start.out" 2>"$WORK/start.err" || code=$?
[ "$code" = 65 ] || fail "a start on the damaged store ended with $code"
fact "a start on it" "exit 65"

(cd "$WORK/data" && sha256sum -- *) >"$WORK/sums"
"$KVD" repair "$WORK/data" --into "$WORK/new" --apply --salvage >"$WORK/repair" 2>"$WORK/repair.err" || fail "not repaired"
(cd "$WORK/data" && sha256sum --quiet -c "$WORK/sums") || fail "the damaged store was changed"
fact "salvage" "$(sed -n 's/^ *\(keeps .*\)/\1/p' "$WORK/repair"); the damaged files have the bytes that they had"

start_kvd "$WORK/new" --allow-volatile "${FLAGS[@]}"
[ "$(status_of keys)" = $((COUNT - 1)) ] || fail "$(status_of keys) records are left"
"$KVCLI" scan -o raw >"$WORK/left" || fail "the scan broke off"
records | sed "${DAMAGED}d" | cmp -s - "$WORK/left" || fail "another record is missing or not as it was"
fact "records as they were" "$(wc -l <"$WORK/left")"
code=0
"$KVCLI" get "$KEY" >"$WORK/get" 2>/dev/null || code=$?
[ "$code" = 1 ] || fail "the damaged record is served"
fact "get $KEY" "exit 1, not found"
[ "$(status_of repaired)" = true ] || fail "the status does not say that it was repaired"
"$KVCLI" acknowledge-repair "$(status_of store_id)" || fail "not acknowledged"
if "$KVCLI" -o raw status | grep -q '^repaired='; then fail "the status still says repaired"; fi
fact "status" "repaired until acknowledge-repair"
stop_kvd
pass
