"""Judges a kvd that finds an image of a block device: nothing lost, nothing invented.

The notes of the load say what every revision did, so the store must be exactly the state at some
revision, and that must not be below what anybody was told to be durable before the cut.
"""

import json
import os
import subprocess

import grpc
from kvd.v1 import kv_service_pb2_grpc, types_pb2
from kvd.v1 import kv_service_pb2 as kv

from block_load import LEVELS, OPTIONS, Daemon, digest, status_of
from manager import NotSo, check

LATEST = types_pb2.ReadOptions(level=types_pb2.READ_LEVEL_LATEST)
SYNCED = types_pb2.WriteOptions(durability=types_pb2.DURABILITY_SYNCED)


class Lost(NotSo):
    """What was told to be durable is not there."""


class Refused(NotSo):
    """kvd itself says that something is damaged."""


class Notes:
    """What the load was told, in the order of the revisions."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            lives = json.load(file)
        self.all = [note for notes in lives for note in notes]
        ordered = [sorted((n for n in notes if n["revision"]), key=lambda n: n["revision"]) for notes in lives]
        self.lives = [units for units in ordered if units]
        before = 1
        for number, units in enumerate(self.lives):
            revisions = [unit["revision"] for unit in units]
            first = revisions[0]
            check(first > before, f"life {number + 1} begins with revision {first}, after {before}")
            check(revisions == list(range(first, first + len(units))), f"life {number + 1}: a revision is missing or twice")
            before = revisions[-1]
        self.units = [unit for units in self.lives for unit in units]
        self.by_revision = {unit["revision"]: unit for unit in self.units}

    def durable(self, cut):
        """The newest revision that anybody was told to be durable before the cut."""
        told = (note for note in self.all if note["told"] <= cut)
        return max((max(n["durable"], n["revision"] if n["level"] == "SYNCED" else 0) for n in told), default=1)

    def state(self, revision):
        """key -> (value, create_revision, mod_revision, version) after that revision."""
        state = {}
        for unit in self.units:
            if unit["revision"] > revision:
                break
            for key, value in unit["changes"]:
                if value is None:
                    state.pop(key, None)
                    continue
                _, created, _, version = state.get(key, (None, unit["revision"], 0, 0))
                state[key] = (value, created, unit["revision"], version + 1)
        return state

    def missing(self, cut, revision):
        """Writes that were under way or acknowledged before the cut and are not there, by durability;
        and those that nobody had heard of and that are there."""
        lost, unheard = dict.fromkeys((*LEVELS, "unanswered"), 0), 0
        for unit in self.units:
            if unit["sent"] > cut:
                continue
            told = unit["told"] <= cut
            if unit["revision"] > revision:
                lost[unit["level"] if told else "unanswered"] += 1
            elif not told:
                unheard += 1
        return lost, unheard

    def up_to(self, revision):
        """The lives as a later log begins with them: that revision is durable, and nothing above it was."""
        old = {"sent": 0, "told": 0, "durable": revision}
        return [[unit | old for unit in units if unit["revision"] <= revision] for units in self.lives]

    def newest_told(self, cut):
        return max((unit["revision"] for unit in self.units if unit["told"] <= cut), default=1)


def kvd_check(options, data):
    """`kvd check`: it must find the store clean or its tail torn. Returns its report."""
    command = [options.kvd, "check", data, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    check(done.stdout.startswith("{"), f"kvd check exits with {done.returncode}: {done.stdout} {done.stderr}")
    report = json.loads(done.stdout)
    if done.returncode != 0:
        raise Refused(f"kvd check exits with {done.returncode}: {report['verdict']}, {report['damage']}")
    return report


def dump(options, data):
    """What the log still holds: revision -> key -> value."""
    command = [options.kvd, "dump", data, "-o", "jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    check(done.returncode == 0, f"kvd dump exits with {done.returncode}: {done.stderr}")
    held = {}
    for change in map(json.loads, done.stdout.splitlines()):
        changes = held.setdefault(change["revision"], {})
        check(change["key"] not in changes, f"revision {change['revision']} is in the log twice")
        changes[change["key"]] = digest(change["value"].encode()) if change["type"] == "SET" else None
    return held


def is_history(notes, held, revision):
    """Every revision in the log is what the clients know it as."""
    for number, changes in held.items():
        unit = notes.by_revision.get(number)
        check(unit and number <= revision, f"revision {number} is in the log, and nobody wrote it by {revision}: {changes}")
        # A transaction may remove what is not there; that leaves no trace.
        wanted = {key: value for key, value in unit["changes"] if value or key in changes}
        check(changes == wanted, f"revision {number} is {changes}, and was {wanted}")


def read_all(channel):
    store = kv_service_pb2_grpc.KvServiceStub(channel)
    found = {}
    for page in store.Scan(kv.ScanRequest(range=types_pb2.KeyRange(all={}), options=LATEST), timeout=60):
        for it in page.records:
            found[it.key.decode()] = (digest(it.value), it.create_revision, it.mod_revision, it.version)
    return found


def differences(found, wanted):
    keys = [key for key in sorted(found.keys() | wanted.keys()) if found.get(key) != wanted.get(key)]
    return "; ".join(f"{key}: found {found.get(key)}, wanted {wanted.get(key)}" for key in keys[:3]) + f" ({len(keys)} keys)"


def last_revision(status):
    """Where the numbering was cut: an unclean start leaves a gap behind it."""
    gaps = status.recovery.gaps
    newest = status.header.store_revision
    if not status.recovery.started_clean and gaps and gaps[-1].last >= newest:
        return gaps[-1].first - 1
    return newest


def judge(options, notes, data, cut, again):
    """Starts kvd on what is left of a store and asks it. Returns a row of figures."""
    report = kvd_check(options, data) if os.path.exists(os.path.join(data, "MANIFEST")) else None
    held = dump(options, data) if again and report else {}
    daemon = Daemon(options, data)
    try:
        with grpc.insecure_channel(daemon.address, options=OPTIONS) as channel:
            status = status_of(daemon)
            revision, durable = last_revision(status), notes.durable(cut)
            found, wanted = read_all(channel), notes.state(revision)
            if revision < durable:
                raise Lost(f"revision {durable} was durable, the store ends with {revision}")
            check(revision == 1 or revision in notes.by_revision, f"nobody knows revision {revision}, the last")
            future = [unit["revision"] for unit in notes.units if unit["revision"] <= revision and unit["sent"] > cut]
            check(not future, f"revision {future[:1]} is there, and was asked for after the cut")
            check(found == wanted, f"this is not the store at {revision}: {differences(found, wanted)}")
            is_history(notes, held, revision)
            agrees(report, revision)
            newest = max(notes.newest_told(cut), revision)
            written = kv_service_pb2_grpc.KvServiceStub(channel).Set(
                kv.SetRequest(key=b"after", value=b"the cut", options=SYNCED), timeout=60
            )
            check(written.revision > newest, f"revision {written.revision} after {newest} had been handed out")
        daemon.kill()
        kvd_check(options, data)
        if again:
            found["after"] = (digest(b"the cut"), written.revision, written.revision, 1)
            daemon = Daemon(options, data)
            with grpc.insecure_channel(daemon.address, options=OPTIONS) as channel:
                more = read_all(channel)
            check(more == found, f"a second start shows another store: {differences(more, found)}")
            daemon.stop()
            check(kvd_check(options, data)["clean_shutdown"], "stopped in order, and kvd check does not see it")
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
    lost, unheard = notes.missing(cut, revision)
    check(lost["SYNCED"] == 0, f"{lost['SYNCED']} SYNCED writes are lost")
    row = {f"lost {level}": count for level, count in lost.items()}
    recovery = status.recovery
    row |= {"unheard": unheard, "snapshot": bool(recovery.snapshot), "torn": recovery.quarantined_bytes > 0}
    return row | {"dumped": len(held), "empty": revision == 1, "clean": recovery.started_clean}


def agrees(report, revision):
    """What `kvd check` said before is what the start found."""
    if report is None:
        return
    # A segment without units names the revision before its first, which a gap may have.
    holds = [each for each in report["files"] if each["units"] or each["name"].startswith("snap-")]
    newest = max((each["last_revision"] for each in holds), default=1)
    check(newest == revision, f"kvd check names revision {newest} as the last, the start {revision}")
