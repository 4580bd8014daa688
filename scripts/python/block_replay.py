"""What a block device may hold after its power went, out of the log of what it was told.

Everything that was answered before a flush is on the device when the flush is done. Of what came
later, up to the next flush, each sector may be old or hold what any one of the later writes made
of it, whatever became of the others. Image 0 of a flush has nothing of that, the others are
drawn: which one it is follows from (seed, number) alone, and

    number = flush * (drawn + 1) + 0…drawn

A block of 4 KiB is torn into sectors of 512 bytes in one of the ways only; the first block of the
device never is, because ext4 does not live through a torn superblock, whoever wrote it.
"""

import bisect
import mmap
import os
import random

from block_log import ENTRY, FLUSH, WRITE

SECTOR, BLOCK = 512, 4096
# How the writes behind the flush are cut up: sectors, blocks, whole writes in any combination, or all
# of them in order up to some moment, where the last one is torn.
WAYS = ("sectors", "blocks", "writes", "moment")
KINDS = {b"KVDSEG\r\n": "segment header", b"KVDMAN\r\n": "MANIFEST", b"KVDSNP\r\n": "snapshot"}


class Log:
    """The events of a device, and its flushes."""

    def __init__(self, directory):
        with open(os.path.join(directory, "index"), "rb") as file:
            index = file.read()
        self.events = list(ENTRY.iter_unpack(index[: len(index) // ENTRY.size * ENTRY.size]))
        self.flushes = [at for at, event in enumerate(self.events) if event[0] == FLUSH]
        self.base = os.path.join(directory, "base")
        with open(os.path.join(directory, "data"), "rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def writes(self, first, end):
        """(offset, bytes) of the writes among these events, in order."""
        for what, size, offset, where in self.events[first:end]:
            if what == WRITE:
                yield offset, self.data[where : where + size]

    def window(self, flush):
        """The events behind a flush, up to the next one: first and end."""
        following = flush + 1
        end = self.flushes[following] if following < len(self.flushes) else len(self.events)
        return self.flushes[flush] + 1, end

    def flush_before(self, event):
        return max(bisect.bisect_left(self.flushes, event) - 1, 0)

    def kinds(self, flush):
        """Which of kvd's files begin in what was written behind this flush."""
        found = set()
        for _, data in self.writes(*self.window(flush)):
            for at in range(0, len(data), BLOCK):
                kind = KINDS.get(data[at : at + 8])
                if kind:
                    found.add(kind)
        return found


class Device:
    """What the device holds for certain after a flush; goes forward only."""

    def __init__(self, log):
        self.log, self.at = log, 0
        with open(log.base, "rb") as file:
            self.bytes = bytearray(file.read())

    def forward(self, event):
        if event < self.at:
            self.__init__(self.log)
        for offset, data in self.log.writes(self.at, event):
            self.bytes[offset : offset + len(data)] = data
        self.at = event


def pieces(writes, unit):
    """The versions of each unit of the device that the writes touch, oldest first."""
    versions = {}
    for offset, data in writes:
        at = 0
        while at < len(data):
            place = offset + at
            size = BLOCK if place < BLOCK else unit
            size = min(size - place % size, len(data) - at)
            versions.setdefault(place, []).append(data[at : at + size])
            at += size
    return versions


def draw(writes, rng):
    """One outcome of these writes, as (offset, bytes) to lay over the device in order."""
    way = rng.choice(WAYS)
    share = rng.choice((0.1, 0.5, 0.9))
    if way in ("sectors", "blocks"):
        versions = pieces(writes, SECTOR if way == "sectors" else BLOCK)
        return [(place, rng.choice(versions[place])) for place in sorted(versions) if rng.random() < share]
    if way == "writes":
        return [write for write in writes if rng.random() < share]
    kept = writes[: rng.randrange(len(writes) + 1)]
    if kept:
        offset, data = kept.pop()
        kept += [(place, part[0]) for place, part in pieces([(offset, data)], SECTOR).items() if rng.random() < 0.5]
    return kept


class Images:
    """The images of one log, by number."""

    def __init__(self, log, seed, drawn, lie=0):
        self.log, self.seed, self.drawn, self.lie = log, seed, drawn, lie
        self.device = Device(log)

    def split(self, number):
        return divmod(number, self.drawn + 1)

    def cut(self, number):
        """The number of events before the cut: who was told something by then was told it before."""
        flush, drawn = self.split(number)
        first, end = self.log.window(flush)
        return end if drawn else first

    def build(self, number):
        """The differences from what is certain, without those that make none: sector to bytes.
        `lie`: the device did nothing at that many flushes before."""
        flush, drawn = self.split(number)
        first, end = self.log.window(flush)
        certain = self.log.window(max(flush - self.lie, 0))[0]
        self.device.forward(certain)
        if not drawn:
            return {}
        writes = list(self.log.writes(certain, end))
        over = {}
        for offset, data in draw(writes, random.Random(f"{self.seed}/{number}")):
            for at in range(0, len(data), SECTOR):
                over[offset + at] = data[at : at + SECTOR]
        device = self.device.bytes
        return {place: data for place, data in over.items() if device[place : place + len(data)] != data}

    def write(self, number, path):
        over = self.build(number)
        with open(path, "wb") as file:
            file.write(self.device.bytes)
            for place, data in sorted(over.items()):
                file.seek(place)
                file.write(data)
