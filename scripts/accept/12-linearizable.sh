#!/usr/bin/env bash
# 8 to 32 clients do everything that is promised to be strictly serializable on a handful
# of keys, while the daemon is killed and restarted; the histories are checked twice:
#   12-linearizable.sh [RUNS [SEED]]     200 and 1 by default; 10 take half a minute
# Of a violation, the history stays in a directory that stderr names.
. "$(dirname "$0")/lib.sh"
begin 12-linearizable "Clients agree on one order, also across kill -9" "$@"

runs=${1:-200} seed=${2:-1}
binaries kvd linear
"$LINEAR" --kvd "$KVD" --runs "$runs" --seed "$seed" --dir "$WORK/stores" \
    >"$WORK/report.md" 2>"$WORK/linear.err" || fail "not linearizable, or it could not be checked"
fact "run" "$(head -n 1 "$WORK/report.md")"
lacks=$(sed -n 's/^linear: left out, the daemon lacks it: //p' "$WORK/linear.err")
fact "left out, because the daemon lacks it" "${lacks:-nothing}"
fact "keys without an order, stale or torn reads, cycles, values or revisions from nowhere" "none"
sed 1,2d "$WORK/report.md" >"$WORK/table.md"
cat "$WORK/table.md"
text "$WORK/table.md"
pass
