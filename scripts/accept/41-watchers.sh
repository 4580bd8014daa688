#!/usr/bin/env bash
# Python and kvcli watch a daemon that is killed again and again under load.
#   41-watchers.sh            30 kills
#   41-watchers.sh --quick    4 kills
. "$(dirname "$0")/lib.sh"
begin 41-watchers "Watchers in Python and at the prompt miss nothing over kill -9" "$@"

KILLS=30
[ "${1:-}" != --quick ] || KILLS=4
python_venv grpc grpcio==1.85.1 grpcio-tools==1.85.1 grpcio-status==1.85.1
binaries kvd kvcli
mkdir "$WORK/stubs" "$WORK/run"
"$PYTHON" -m grpc_tools.protoc -I "$ROOT/proto" --python_out="$WORK/stubs" \
    --grpc_python_out="$WORK/stubs" "$ROOT"/proto/kvd/v1/*.proto || fail "grpc_tools.protoc cannot compile proto/"
PYTHONPATH=$WORK/stubs "$PYTHON" "$ROOT/scripts/python/watchers.py" --kvd "$KVD" --kvcli "$KVCLI" \
    --dir "$WORK/run" --kills "$KILLS" >"$WORK/found.tsv" 2>"$WORK/watchers.err" || {
    cp "$WORK"/run/*.err "$WORK" 2>/dev/null || true
    fail "watchers.py found something that is not so"
}
while IFS=$'\t' read -r what figure; do fact "$what" "$figure"; done <"$WORK/found.tsv"
pass
