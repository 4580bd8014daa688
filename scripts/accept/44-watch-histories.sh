#!/usr/bin/env bash
# What clients were answered and watchers were told, while the daemon is killed and
# restarted, is recorded in the form of etcd's robustness tests, and judged by their
# validators; each of them has to reject a history that was broken in its way.
#   44-watch-histories.sh [RUNS [SEED]]    40 and 1 by default
#   44-watch-histories.sh --quick          4 runs, for .ci/run
# Needs Go >= 1.26, and the modules of etcd once: else 77.
. "$(dirname "$0")/lib.sh"
begin 44-watch-histories "The validators of etcd's robustness tests accept what kvd's watchers are told" "$@"

ETCD=v3.7.3
runs=40 seed=${2:-1}
case ${1:-} in
    --quick) runs=4 ;;
    ?*) runs=$1 ;;
esac

# The validators, in a module outside of this tree; kept, because building them takes long.
command -v go >/dev/null 2>&1 || skip "Go is missing: it builds etcd's validators"
source=$ROOT/scripts/accept/44-watch-histories.go
module=$TOOLS/watch-histories-$ETCD-$(sha256sum "$source" | cut -c 1-12)
if [ ! -x "$module/watch-histories" ]; then
    mkdir -p "$module"
    cp "$source" "$module/main.go"
    cat >"$module/go.mod" <<MOD
module watch-histories

go 1.26.0

require (
	go.etcd.io/etcd/tests/v3 $ETCD
	go.uber.org/zap v1.27.1
)
MOD
    (cd "$module" && export GOFLAGS=-mod=mod GOTOOLCHAIN=local && go mod tidy && go build -o watch-histories .) \
        >"$WORK/go.err" 2>&1 || skip "etcd's validators cannot be built: $(tail -n 1 "$WORK/go.err")"
fi
validate=$module/watch-histories

binaries kvd linear
"$LINEAR" --kvd "$KVD" --runs "$runs" --seed "$seed" --dir "$WORK/stores" --etcd --watchers 6 \
    --history "$WORK/histories" >"$WORK/report.md" 2>"$WORK/linear.err" ||
    fail "the run failed, or our own check found a violation"
fact "validators" "etcd tests/robustness/validate, $ETCD"
fact "run" "$(head -n 1 "$WORK/report.md")"

total=$WORK/total
: >"$total"
for dir in "$WORK"/histories/run-*; do
    [ "$(cat "$dir/left-out.txt")" = 0 ] || fail "$(basename "$dir"): $(cat "$dir/left-out.txt") operations have no place in their form"
    "$validate" "$dir" >>"$total" 2>"$WORK/validate.err" || {
        mkdir -p "$TOOLS/rejected"
        cp -r "$dir" "$TOOLS/rejected/"
        fail "their validators reject $(basename "$dir"), kept in $TOOLS/rejected"
    }
done
[ "$(wc -l <"$total")" -eq "$runs" ] || fail "of $runs histories $(wc -l <"$total") were validated"
sum() { tr ' ' '\n' <"$total" | sed -n "s/^$1=//p" | awk '{ n += $1 } END { print n + 0 }'; }
for what in operations revisions watches events progress previous; do
    [ "$(sum $what)" -gt 0 ] || fail "the histories have no $what"
done
fact "histories accepted" "$runs: $(sum operations) operations, $(sum revisions) revisions of the log"
fact "told to watchers" "$(sum events) events, $(sum previous) with the value from before, $(sum progress) times progress, over $(sum watches) watches of 6 watchers a run"

# Each in its own way, in the first history that has a place for it.
for how in drop first reorder duplicate split early late value previous create filter; do
    said=
    for dir in "$WORK"/histories/run-*; do
        code=0
        said=$("$validate" -break "$how" "$dir" 2>"$WORK/validate.err") || code=$?
        [ "$code" -ne 3 ] || continue
        [ "$code" -eq 0 ] || fail "broken by $how: not rejected as it should be"
        break
    done
    [ -n "$said" ] || fail "no history has a place to be broken by $how"
    # What differs comes before.
    fact "rejected, broken by \`$how\`" "${said##*$'\n'}"
done
cat >"$WORK/map.md" <<'TEXT'
What is theirs and what is ours:

* Their model numbers changes without gaps. kvd's numbering jumps after a kill, so every revision is told as its rank in
  the log: one to one and in order. A revision that a watcher was told and the log does not hold has no rank, and fails.
* What happened they read from etcd's WAL; here `kvd dump` reads it from kvd's log, when no daemon runs.
* kvd does not tell at which revision a read took place. It is put at the first state of the log that shows what was answered,
  not before anything that had returned when it began; their search for an order says whether that can be.
* Of a transaction that was cut off by a kill and both sets and deletes, their validators believe that it was done if the key was
  ever deleted. Such ones are asked for in runs without kills only: every fourth.
* A watch from now asks for revision 0 there, which promises nothing about its beginning. Here it is the first revision
  that the watch said it tells, so more is demanded.
* A message, or the fragments of one revision, is one response. Six watchers: all keys and one key, from now and from the
  first revision, resumed by position, by revision, and anew from the beginning of the log.
* Not in their model, and in none of these histories: causes, expiries (they have leases), filters, keys without values, resync,
  compaction, LATEST. 40-watch tests these.
TEXT
text "$WORK/map.md"
pass
