#!/usr/bin/env python3
"""Logs what a block device is told: a file system in user space with one file, the device's image.

    block_log.py --base IMAGE --log DIR --at MOUNTPOINT

Speaks the protocol of /dev/fuse itself, so it needs root and Python's own library only. The file
is MOUNTPOINT/disk and begins as a copy of IMAGE, which is never changed. With a loop device over
it that reads and writes past the page cache, a WRITE here is a write of the device, and an FSYNC
is its FLUSH: a loop device has no FUA and sends such a write as a write with a FLUSH behind it.
Discards and zeroing without data are refused (EOPNOTSUPP by way of ENOSYS), so that all that
changes the device is a WRITE. Ends when it is unmounted.

    DIR/index   one entry for each event, in order (see ENTRY)
    DIR/data    the bytes of the writes, one after the other
    DIR/count   the number of events, 8 bytes: whoever maps it can read it at any time

Order. A write is logged before its answer; whoever has seen the answer finds a count that has it.
A flush is logged when it is taken up and covers what was answered by then. Before anything is
answered everything is taken up that waits, and flushes go first: a device promises nothing about
writes that were under way when the flush came, so they come after it.
"""

import argparse
import ctypes
import errno
import mmap
import os
import select
import signal
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from block_disk import MS_NODEV, MS_NOSUID, mount  # noqa: E402

# What happened (WRITE or FLUSH), bytes, offset on the device, offset in DIR/data.
ENTRY = struct.Struct("<IIQQ")
WRITE, FLUSH = 1, 2

# linux/fuse.h: what a request and an answer begin with, and the operations.
IN_HEADER, OUT_HEADER = struct.Struct("=IIQQIIIHH"), struct.Struct("=IiQ")
LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, OP_WRITE, STATFS, RELEASE = 1, 2, 3, 4, 14, 15, 16, 17, 18
FSYNC, OP_FLUSH, INIT, ACCESS, INTERRUPT, DESTROY, BATCH_FORGET = 20, 25, 26, 34, 36, 38, 42
NOT_ANSWERED = (FORGET, BATCH_FORGET, INTERRUPT, DESTROY)
ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
IO = struct.Struct("=QQII")
ASYNC_READ, BIG_WRITES, ASYNC_DIO, MAX_PAGES = 1 << 0, 1 << 5, 1 << 15, 1 << 22
OPEN_DIRECT, OPEN_PARALLEL_WRITES = 1 << 0, 1 << 6
MAX_WRITE = 1 << 20
ROOT, DISK, NAME = 1, 2, b"disk"


class Log:
    """The three files of the log."""

    def __init__(self, directory):
        self.index = open(os.path.join(directory, "index"), "wb", buffering=0)
        self.data = open(os.path.join(directory, "data"), "wb", buffering=0)
        with open(os.path.join(directory, "count"), "wb+") as file:
            file.write(bytes(8))
            file.flush()
            self.shared = mmap.mmap(file.fileno(), 8)
        self.count = ctypes.c_uint64.from_buffer(self.shared)
        self.bytes = 0

    def append(self, what, offset=0, data=b""):
        if data:
            self.data.write(data)
        self.index.write(ENTRY.pack(what, len(data), offset, self.bytes))
        self.bytes += len(data)
        self.count.value += 1


class Server:
    """Answers what the kernel asks about a directory with one file."""

    def __init__(self, base, log, at):
        with open(base, "rb") as file:
            # A private mapping: what is written stays in memory.
            self.image = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self.log = log
        self.fuse = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK)
        options = f"fd={self.fuse},rootmode=40000,user_id=0,group_id=0"
        mount("block_log", at, "fuse.block_log", MS_NOSUID | MS_NODEV, options)
        self.buffer = bytearray(MAX_WRITE + 8192)
        self.answers = {
            INIT: self.init,
            LOOKUP: self.lookup,
            GETATTR: lambda node, _: bytes(16) + self.attributes(node),
            SETATTR: lambda node, _: bytes(16) + self.attributes(node),
            OPEN: lambda node, _: struct.pack("=QII", 0, OPEN_DIRECT | OPEN_PARALLEL_WRITES, 0),
            READ: self.read,
            OP_WRITE: self.write,
            FSYNC: lambda node, _: b"",
            OP_FLUSH: lambda node, _: b"",
            RELEASE: lambda node, _: b"",
            ACCESS: lambda node, _: b"",
            STATFS: lambda node, _: struct.pack("=5Q4I6I", 1, 0, 0, 2, 0, 4096, 255, 4096, *[0] * 7),
        }

    def take(self):
        """A request that waits: operation, id, node, body. None if there is none."""
        try:
            size = os.readv(self.fuse, [self.buffer])
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR, errno.ENOENT):
                return None
            raise
        _, operation, unique, node, *_ = IN_HEADER.unpack_from(self.buffer)
        return operation, unique, node, bytes(memoryview(self.buffer)[IN_HEADER.size : size])

    def run(self):
        poll = select.poll()
        poll.register(self.fuse, select.POLLIN)
        while True:
            poll.poll()
            try:
                waiting = list(iter(self.take, None))
                self.flush_first(waiting)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                raise

    def flush_first(self, waiting):
        for request in waiting:
            if request[0] == FSYNC:
                self.log.append(FLUSH)
        for request in waiting:
            self.answer(*request)

    def answer(self, operation, unique, node, body):
        if operation in NOT_ANSWERED:
            return
        code, reply = errno.ENOSYS, b""
        if operation in self.answers:
            try:
                reply = self.answers[operation](node, body)
                code = 0
            except OSError as error:
                code = error.errno
        try:
            os.write(self.fuse, OUT_HEADER.pack(OUT_HEADER.size + len(reply), -code, unique) + reply)
        except OSError as error:
            # Whoever asked has gone away.
            if error.errno != errno.ENOENT:
                raise

    def init(self, _, body):
        major, minor, readahead, _ = struct.unpack_from("=IIII", body)
        if major != 7:
            raise OSError(errno.EPROTO, f"FUSE protocol {major}.{minor}")
        flags = ASYNC_READ | BIG_WRITES | ASYNC_DIO | MAX_PAGES
        return struct.pack("=IIIIHHIIHHI7I", 7, 31, readahead, flags, 64, 48, MAX_WRITE, 1, MAX_WRITE >> 12, 0, *[0] * 8)

    def lookup(self, node, body):
        if node != ROOT or body.rstrip(b"\0") != NAME:
            raise OSError(errno.ENOENT, "no such file")
        return struct.pack("=5Q", DISK, 0, 60, 60, 0) + self.attributes(DISK)

    def attributes(self, node):
        size = len(self.image) if node == DISK else 0
        mode = 0o100600 if node == DISK else 0o40700
        return ATTRIBUTES.pack(node, size, size >> 9, *[0] * 6, mode, 1, 0, 0, 0, 4096, 0)

    def read(self, _, body):
        _, offset, size, _ = IO.unpack_from(body)
        return self.image[offset : offset + size]

    def write(self, _, body):
        _, offset, size, _ = IO.unpack_from(body)
        data = body[len(body) - size :]
        if offset + size > len(self.image):
            raise OSError(errno.ENOSPC, "behind the end of the device")
        self.image[offset : offset + size] = data
        self.log.append(WRITE, offset, data)
        return struct.pack("=II", size, 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--at", required=True)
    options = parser.parse_args()
    # Whoever interrupts the run has to find the device alive to unmount what is on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Server(options.base, Log(options.log), options.at).run()


if __name__ == "__main__":
    main()
