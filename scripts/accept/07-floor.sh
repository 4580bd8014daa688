#!/usr/bin/env bash
# kvd against a floor of the same messages, runtime, hasher and allocator without a log,
# in turn (A B A B, five pairs). Run it on a machine that does nothing else.
. "$(dirname "$0")/lib.sh"
begin 07-floor "What durability and the contract cost over a bare gRPC server" "$@"

(cd "$ROOT" && cargo build --release --locked --workspace --bin kvbench --bin kvd) >&2
code=0
(cd "$ROOT" && "${CARGO_TARGET_DIR:-target}/release/kvbench" floor --check "$@") \
    >"$WORK/floor.md" || code=$?
cat "$WORK/floor.md"
[ "$code" -eq 0 ] || fail "kvbench floor --check exited with $code"
{ echo '```text'; cat "$WORK/floor.md"; echo '```'; } >"$WORK/floor.text"
text "$WORK/floor.text"
pass
