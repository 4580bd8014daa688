#!/usr/bin/env bash
# Python stubs generated from proto/ by grpcio-tools: set, get, batch, and a pipeline of
# 1,000 binary keys; then the example of the README, as it stands there.
. "$(dirname "$0")/lib.sh"
begin 08-python "A Python client works with stubs generated from proto/"

VERSIONS=(grpcio==1.85.1 grpcio-tools==1.85.1 grpcio-status==1.85.1)
python_venv grpc "${VERSIONS[@]}"
binaries kvd
mkdir "$WORK/stubs"
"$PYTHON" -m grpc_tools.protoc -I "$ROOT/proto" --python_out="$WORK/stubs" \
    --grpc_python_out="$WORK/stubs" "$ROOT"/proto/kvd/v1/*.proto ||
    fail "grpc_tools.protoc cannot compile proto/"
fact "python" "$("$PYTHON" --version 2>&1)"
fact "packages" "${VERSIONS[*]}"

start_kvd "$WORK/data"
PYTHONPATH=$WORK/stubs "$PYTHON" "$ROOT/scripts/python/tour.py" "$KVCLI_ENDPOINT" >"$WORK/tour.out" ||
    fail "scripts/python/tour.py failed"
fact "set, get, delete, batch, refusals, and 1,000 binary keys in one pipeline" "$(cat "$WORK/tour.out")"

# The README's example, with the port of this daemon.
awk '/^```/ { code = ($0 == "```python"); next } code' "$ROOT/README.md" >"$WORK/example.py"
[ -s "$WORK/example.py" ] || fail "README.md has no Python example"
lines=$(grep -c . "$WORK/example.py")
[ "$lines" -le 6 ] || fail "the example of the README has $lines lines"
sed -i "s/127\.0\.0\.1:7500/$KVCLI_ENDPOINT/" "$WORK/example.py"
PYTHONPATH=$WORK/stubs "$PYTHON" "$WORK/example.py" >"$WORK/example.out" || fail "the README's example failed"
grep -q "hello" "$WORK/example.out" || fail "the README's example printed: $(cat "$WORK/example.out")"
fact "the README's example, $lines lines, printed" "\`$(cat "$WORK/example.out")\`"
stop_kvd
pass
