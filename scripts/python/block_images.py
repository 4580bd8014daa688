#!/usr/bin/env python3
"""Cuts the power of a block device under a real kvd, between any two of its flushes.

    block_images.py probe  --dir DIR
    block_images.py record --kvd PATH --dir DIR [--seconds N] [--clients N] [--synced PERCENT] [--seed N] [--set …]
    block_images.py restart --kvd PATH --dir DIR [--number N] [--drawn N] [--seed N] [--set …]
    block_images.py judge  --kvd PATH --dir DIR [--flushes N] [--drawn N] [--lie N] [--must-lose] [--seed N] [--set …]
    block_images.py one    --kvd PATH --dir DIR --number N [--drawn N] [--lie N] [--seed N] [--set …]
    block_images.py image  --dir DIR --number N --out FILE [--drawn N] [--lie N] [--seed N]

    probe   only shows whether all of this is possible here
    record  puts an ext4 on a logged device (block_log.py), runs kvd and its clients on it (block_load.py)
            and leaves the log, what the clients were told, and the device as it was at first in DIR/log
    restart the same with two starts on an image of the log in DIR/log, by default one of those in which the
            judge has found a torn tail: what is left of a cut in a start is judged with DIR/again for DIR
    judge   makes images of what the device may hold after a cut (block_replay.py), mounts each, and
            holds a kvd that is started on it to what was told (block_judge.py)
    one     the same with one image, by its number
    image   writes one image to a file
    --must-lose   fails if no image has lost a write that was not SYNCED
    --lie   the device forgets as many flushes: what is SYNCED must then be found lost

Needs root, /dev/fuse and loop devices; what is mounted is seen by this process and its children only.
Prints its findings as `what<TAB>figure`; exits with 1 if one of them is not so.
"""

import argparse
import collections
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import block_judge
import block_load
import block_replay
from block_disk import Mounted, mortal, mount, private_mounts, unmount
from manager import NotSo, check, fact

HERE = os.path.dirname(os.path.abspath(__file__))
DEVICE_BYTES = 48 << 20
MKFS = ("mkfs.ext4", "-q", "-m", "0", "-b", "4096", "-J", "size=4")
MKFS += ("-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard")


def new_file_system(path):
    with open(path, "wb") as file:
        file.truncate(DEVICE_BYTES)
    subprocess.run([*MKFS, path], check=True)


class Logged:
    """A file system whose device is logged: `with Logged(log, work) as directory`. It is new, or what
    `fill` writes to the file whose name it is given."""

    def __init__(self, log, work, fill=None):
        self.fill = fill or new_file_system
        self.log, self.fuse, self.disk = log, os.path.join(work, "fuse"), os.path.join(work, "disk")

    def __enter__(self):
        for directory in (self.log, self.fuse, self.disk):
            os.makedirs(directory)
        base = os.path.join(self.log, "base")
        self.fill(base)
        command = [sys.executable, os.path.join(HERE, "block_log.py"), "--base", base, "--log", self.log, "--at", self.fuse]
        self.server = subprocess.Popen(mortal(command))
        disk = os.path.join(self.fuse, "disk")
        while not os.path.exists(disk):
            check(self.server.poll() is None, "block_log.py has ended")
            time.sleep(0.01)
        self.mounted = Mounted(disk, self.disk, direct=True)
        try:
            return self.mounted.__enter__()
        except BaseException:
            self.end()
            raise

    def __exit__(self, *_):
        try:
            self.mounted.__exit__()
        finally:
            self.end()

    def end(self):
        unmount(self.fuse)
        check(self.server.wait(20) == 0, "block_log.py has failed")

    def count(self):
        with open(os.path.join(self.log, "count"), "rb") as file:
            return int.from_bytes(file.read(8), "little")


def record(options):
    log = os.path.join(options.dir, "log")
    logged = Logged(log, options.dir)
    with logged as directory:
        data = os.path.join(directory, "data")
        lives = block_load.record(options, data, logged.count)
    block_load.save(lives, os.path.join(log, "notes.json"))
    replay, notes = block_replay.Log(log), block_judge.Notes(os.path.join(log, "notes.json"))
    levels = collections.Counter(note["level"] for note in notes.units)
    fact("writes acknowledged: " + ", ".join(block_load.LEVELS), ", ".join(str(levels[name]) for name in block_load.LEVELS))
    writes = len(replay.events) - len(replay.flushes)
    fact("the device was told", f"{writes} writes, {len(replay.data) >> 10} KiB, {len(replay.flushes)} flushes")
    begun = collections.Counter(kind for flush in range(len(replay.flushes)) for kind in replay.kinds(flush))
    fact("windows between flushes in which was written", ", ".join(f"a {kind}: {begun[kind]}" for kind in sorted(begun)))
    for kind in block_replay.KINDS.values():
        check(begun[kind], f"no {kind} was written: the load is too small")


def restart(options):
    """Logs two starts on an image of the log in DIR, into DIR/again/log; the notes go on from there."""
    images, notes = open_log(options)
    if options.number is None:
        with open(os.path.join(options.dir, "torn"), encoding="utf-8") as file:
            options.number = random.Random(options.seed).choice(file.read().split())
        options.number = int(options.number)
    options.dir = os.path.join(options.dir, "again")
    log = os.path.join(options.dir, "log")
    logged = Logged(log, options.dir, lambda path: images.write(options.number, path))
    with logged as directory:
        status, lives = block_load.restart(options, os.path.join(directory, "data"), logged.count)
    revision = block_judge.last_revision(status)
    block_load.save(notes.up_to(revision) + lives, os.path.join(log, "notes.json"))
    replay = block_replay.Log(log)
    fact(f"two starts on image {options.number}, with revision {revision}: flushes", len(replay.flushes))


def open_log(options):
    log = block_replay.Log(os.path.join(options.dir, "log"))
    notes = block_judge.Notes(os.path.join(options.dir, "log", "notes.json"))
    return block_replay.Images(log, options.seed, options.drawn, options.lie), notes


def choose(log, count):
    """Flushes to cut after: half of them evenly spread, the others where one of kvd's files begins, and
    around it, because the renames reach the journal of the file system a few flushes later."""
    total = len(log.flushes)
    if count == 0 or count >= total:
        return list(range(total))
    begun = [flush for flush in range(total) if log.kinds(flush)]
    around = sorted({flush + by for flush in begun for by in (-1, 1, 2, 3) if 0 <= flush + by < total})
    chosen = spread(begun, count // 4) | spread(around, count // 4)
    return sorted(chosen | spread(range(total), count - len(chosen)))


def spread(among, count):
    """As many of them, evenly spread."""
    count = min(count, len(among))
    return {among[(2 * at + 1) * len(among) // (2 * count)] for at in range(count)}


class Judges:
    """Threads that judge the images of one flush after the other, in order."""

    def __init__(self, options, log, notes, flushes):
        self.options, self.log, self.notes = options, log, notes
        self.flushes = queue.SimpleQueue()
        for flush in flushes:
            self.flushes.put(flush)
        self.lock = threading.Lock()
        self.rows, self.same, self.failed = [], 0, []
        self.broken = None
        jobs = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(options.jobs)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        if self.broken:
            raise self.broken

    def run(self, number):
        try:
            images = block_replay.Images(self.log, self.options.seed, self.options.drawn, self.options.lie)
            while not self.broken and (self.options.lie or not self.failed):
                self.one_flush(images, self.flushes.get_nowait(), os.path.join(self.options.images, str(number)))
        except queue.Empty:
            pass
        except Exception as error:  # noqa: BLE001 - raised by the main thread
            self.broken = error

    def one_flush(self, images, flush, path):
        seen = set()
        for drawn in range(self.options.drawn + 1):
            number = flush * (self.options.drawn + 1) + drawn
            over = frozenset(images.build(number).items())
            # With nothing behind the flush, or one sector, there are few different outcomes.
            if over in seen:
                self.same += 1
                continue
            seen.add(over)
            self.one_image(images, number, path)
            if self.failed and not self.options.lie:
                return

    def one_image(self, images, number, path):
        images.write(number, path)
        try:
            row = judge_image(self.options, self.notes, path, images.cut(number), number % 8 == 0)
            row["number"] = number
            row["kinds"] = self.log.kinds(images.split(number)[0])
            with self.lock:
                self.rows.append(row)
        except Exception as error:  # noqa: BLE001 - whatever it is, it happened with this image
            with self.lock:
                self.failed.append((number, error if isinstance(error, NotSo) else repr(error)))
        finally:
            os.unlink(path)


def judge_image(options, notes, path, cut, again):
    try:
        mounted = Mounted(path, path + ".at")
        directory = mounted.__enter__()
    except OSError as error:
        raise NotSo(f"ext4 does not mount: {error}") from error
    try:
        return block_judge.judge(options, notes, os.path.join(directory, "data"), cut, again)
    finally:
        mounted.__exit__()


def again(options, number):
    command = [sys.executable, os.path.abspath(__file__), "one", "--dir", options.dir, "--kvd", os.path.abspath(options.kvd)]
    command += ["--number", number, "--drawn", options.drawn, "--seed", options.seed, "--lie", options.lie]
    command += [f"--set={setting}" for setting in options.set]
    return f"PYTHONPATH={os.environ.get('PYTHONPATH', '')} " + " ".join(map(str, command))


def judge(options):
    images, notes = open_log(options)
    log = images.log
    flushes = choose(log, options.flushes)
    if options.lie:
        flushes = random.Random(options.seed).sample(range(options.lie, len(log.flushes)), options.flushes)
    judges = Judges(options, log, notes, sorted(flushes))
    if options.lie:
        return lied(options, judges)
    for number, error in judges.failed:
        print(f"image {number}: {error}\n    again with: {again(options, number)}", file=sys.stderr)
    check(not judges.failed, f"{len(judges.failed)} images are not as they have to be")
    rows = judges.rows
    with open(os.path.join(options.dir, "torn"), "w", encoding="utf-8") as file:
        file.writelines(f"{number}\n" for number in sorted(row["number"] for row in rows if row["torn"]))
    fact("flushes, images", f"{len(flushes)} of {len(log.flushes)}, {len(rows) + judges.same} of which {judges.same} were the same as another")
    kinds = collections.Counter(kind for row in rows for kind in row["kinds"])
    fact("images between whose flushes was written", ", ".join(f"a {kind}: {kinds[kind]}" for kind in sorted(kinds)))
    fact("started from a snapshot, with a torn tail, closed in order, empty", ", ".join(
        str(sum(row[what] for row in rows)) for what in ("snapshot", "torn", "clean", "empty")))
    fact("of every eighth image: revisions in its log, as kvd dump shows them", sum(row["dumped"] for row in rows))
    fact("acknowledged before the cut and lost: SYNCED, LOGGED, NONE", ", ".join(
        str(sum(row[f"lost {level}"] for row in rows)) for level in block_load.LEVELS))
    fact("unanswered at the cut: lost, there", f"{sum(r['lost unanswered'] for r in rows)}, {sum(r['unheard'] for r in rows)}")
    unsynced = sum(row["lost LOGGED"] + row["lost NONE"] + row["lost unanswered"] for row in rows)
    check(unsynced or not options.must_lose, "no cut has lost anything: they do not bite")


def lied(options, judges):
    """A device that forgets flushes must be found out."""
    lost = [number for number, error in judges.failed if isinstance(error, block_judge.Lost)]
    refused = [number for number, error in judges.failed if isinstance(error, block_judge.Refused)]
    other = len(judges.failed) - len(lost) - len(refused)
    for number, error in judges.failed:
        print(f"image {number}: {error}", file=sys.stderr)
    fact(f"with {options.lie} flushes ignored: images", len(judges.failed) + len(judges.rows))
    fact("of these: SYNCED writes are lost, kvd refuses the store as damaged, ext4 does not mount, nothing to be seen",
         f"{len(lost)}, {len(refused)}, {other}, {len(judges.rows)}")
    check(lost, "the judge does not notice that the device ignores flushes")


def one(options):
    images, notes = open_log(options)
    path = os.path.join(options.images, "one")
    images.write(options.number, path)
    fact(f"image {options.number}", judge_image(options, notes, path, images.cut(options.number), True))


def image(options):
    open_log(options)[0].write(options.number, options.out)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("probe", "record", "restart", "judge", "one", "image"))
    parser.add_argument("--kvd")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--synced", type=int, default=50)
    parser.add_argument("--flushes", type=int, default=0)
    parser.add_argument("--drawn", type=int, default=20)
    parser.add_argument("--lie", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--number", type=int)
    parser.add_argument("--out")
    parser.add_argument("--must-lose", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    return parser.parse_args()


def main():
    options = parse()
    options.dir = os.path.abspath(options.dir)
    if options.what == "image":
        return image(options)
    # An end by a signal is an end at once: with the last process go its mounts, its devices and its kvd.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    private_mounts()
    if options.what == "probe":
        with Logged(os.path.join(options.dir, "log"), options.dir):
            return None
    if options.what in ("record", "restart"):
        return (record if options.what == "record" else restart)(options)
    # The images live in memory: a sync of theirs costs nothing.
    options.images = os.path.join(options.dir, "images")
    os.makedirs(options.images, exist_ok=True)
    mount("images", options.images, "tmpfs", 0, "size=512m")
    try:
        (judge if options.what == "judge" else one)(options)
    finally:
        unmount(options.images)
        shutil.rmtree(options.images, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except (NotSo, OSError) as what:
        print(f"block_images: {what}", file=sys.stderr)
        sys.exit(1)
