"""Writes to a real kvd on a logged block device, and notes what was told and when.

Every note holds a finished unit: its revision, what it made of each key, the durability that was
asked for, what the reply called durable, and the number of device events before the request and
after the reply. Everybody writes the same keys; the revisions give the order.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time

import grpc
from kvd.v1 import admin_service_pb2 as admin
from kvd.v1 import admin_service_pb2_grpc, kv_service_pb2_grpc, types_pb2
from kvd.v1 import kv_service_pb2 as kv

from block_disk import mortal
from manager import check

LEVELS = ("SYNCED", "LOGGED", "NONE")
KEYS = 240
START_SECONDS = 60
# At least that many writes in each life, on whatever machine, so that segments and snapshots come and go.
LEAST_WRITES, MOST_SECONDS = 1500, 120
VALUE_BYTES = (16, 8192)
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)]


def digest(value):
    return hashlib.sha256(value).hexdigest()[:24]


class Daemon:
    """A kvd that lives no longer than whoever started it."""

    def __init__(self, options, data):
        command = [options.kvd, "--data-dir", data, "--listen", "127.0.0.1:0", "--http-listen", "off"]
        for setting in options.set:
            command += ["--set", setting]
        self.errors = data.rstrip("/") + ".err"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KVD_")}
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(mortal(command), env=environment, stdout=subprocess.PIPE, stderr=errors)
        limit = threading.Timer(START_SECONDS, self.process.kill)
        limit.start()
        line = self.process.stdout.readline().decode()
        limit.cancel()
        if not line.startswith("kvd ready "):
            self.process.kill()
            check(False, f"kvd does not start (exit {self.process.wait()}): {self.tail()}")
        self.address = dict(field.split("=", 1) for field in line.split()[2:])["listen"]

    def tail(self):
        with open(self.errors, encoding="utf-8", errors="replace") as errors:
            return " / ".join(errors.read().splitlines()[-4:])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.process.stdout.close()
        check(code == 0, f"kvd exits with {code} on SIGTERM: {self.tail()}")


class Client(threading.Thread):
    """One client with a connection of its own, one request at a time."""

    def __init__(self, address, seed, synced, count, over):
        super().__init__(daemon=True)
        # Some writes want the device, so there are flushes; the others are there to be lost.
        self.weights = (2 * synced, 100 - synced, 100 - synced)
        self.address, self.random, self.count, self.over = address, random.Random(seed), count, over
        self.seed, self.number, self.notes, self.error = seed, 0, [], None

    def run(self):
        try:
            with grpc.insecure_channel(self.address, options=OPTIONS) as channel:
                self.store = kv_service_pb2_grpc.KvServiceStub(channel)
                while not self.over.is_set():
                    self.write(self.random.choices(LEVELS, self.weights)[0])
        except Exception as error:  # noqa: BLE001 - told by the main thread
            self.error = error

    def key(self):
        return b"key-%03d" % self.random.randrange(KEYS)

    def value(self):
        self.number += 1
        low, high = VALUE_BYTES
        size = int(low * (high / low) ** self.random.random())
        return (b"%s.%d " % (self.seed.encode(), self.number) * size)[:size]

    def write(self, level):
        job = self.random.choices((self.set, self.delete, self.increment, self.unit), (12, 2, 2, 3))[0]
        options = types_pb2.WriteOptions(durability=getattr(types_pb2, f"DURABILITY_{level}"))
        sent = self.count()
        reply, changes = job(options)
        told = self.count()
        header = reply.header
        check(level != "SYNCED" or not reply.revision or header.durable_revision >= reply.revision, f"not durable: {header}")
        note = {"level": level, "sent": sent, "told": told, "durable": header.durable_revision}
        self.notes.append(note | {"revision": reply.revision, "changes": changes if reply.revision else []})

    def set(self, options):
        key, value = self.key(), self.value()
        return self.store.Set(kv.SetRequest(key=key, value=value, options=options), timeout=60), [(key.decode(), digest(value))]

    def delete(self, options):
        key = self.key()
        return self.store.Delete(kv.DeleteRequest(key=key, options=options), timeout=60), [(key.decode(), None)]

    def increment(self, options):
        key = b"count-%d" % self.random.randrange(4)
        reply = self.store.Increment(kv.IncrementRequest(key=key, options=options), timeout=60)
        return reply, [(key.decode(), digest(b"%d" % reply.value))]

    def unit(self, options):
        """Several keys at once, the first of them removed if it is there."""
        changes, operations = [], []
        for key in sorted({self.key() for _ in range(4)}):
            value = self.value() if operations else None
            if value is None:
                operations.append(kv.TxnOperation(delete=kv.DeleteRequest(key=key)))
            else:
                operations.append(kv.TxnOperation(set=kv.SetRequest(key=key, value=value)))
            changes.append((key.decode(), value and digest(value)))
        reply = self.store.Txn(kv.TxnRequest(success=operations, options=options), timeout=60)
        return reply, changes


def life(address, name, options, count):
    """Several clients for some time. Returns their notes; everything was answered."""
    over = threading.Event()
    jobs = [Client(address, f"{name}-{number}", options.synced, count, over) for number in range(options.clients)]
    for job in jobs:
        job.start()
    begun, took = time.monotonic(), 0.0
    while all(job.is_alive() for job in jobs) and took < MOST_SECONDS:
        if took > options.seconds and sum(len(job.notes) for job in jobs) > LEAST_WRITES:
            break
        time.sleep(0.02)
        took = time.monotonic() - begun
    over.set()
    for job in jobs:
        job.join(90)
        check(not job.is_alive(), "a client waits for an answer for ever")
        check(job.error is None, f"a write failed: {job.error!r}")
    return [note for job in jobs for note in job.notes]


def one(address, key, level, count):
    """One write, and its note."""
    note = {"level": level, "sent": count(), "changes": [(key, digest(b""))]}
    options = types_pb2.WriteOptions(durability=getattr(types_pb2, f"DURABILITY_{level}"))
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        request = kv.SetRequest(key=key.encode(), options=options)
        reply = kv_service_pb2_grpc.KvServiceStub(channel).Set(request, timeout=60)
    return note | {"told": count(), "durable": reply.header.durable_revision, "revision": reply.revision}


def record(options, data, count):
    """Two lives of a kvd: the first ends with SIGKILL, the second in order. Returns their notes."""
    lives = []
    for number in (1, 2):
        daemon = Daemon(options, data)
        try:
            notes = life(daemon.address, f"{options.seed}-{number}", options, count)
            if number == 1:
                # All of it is in the file then, so that the second life begins where this one ends.
                notes.append(one(daemon.address, "last", "LOGGED", count))
            else:
                daemon.stop()
        finally:
            if daemon.process.poll() is None:
                daemon.kill()
        lives.append(notes)
    return lives


def restart(options, data, count):
    """Two starts on what a cut has left, each with one write and an end by SIGKILL. Returns the
    status after the first, and the notes."""
    lives, status = [], None
    for number in (1, 2):
        daemon = Daemon(options, data)
        try:
            if number == 1:
                status = status_of(daemon)
            lives.append([one(daemon.address, f"start-{number}", "SYNCED", count)])
        finally:
            daemon.kill()
    return status, lives


def status_of(daemon):
    with grpc.insecure_channel(daemon.address, options=OPTIONS) as channel:
        return admin_service_pb2_grpc.AdminServiceStub(channel).GetStatus(admin.GetStatusRequest(), timeout=30)


def save(lives, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(lives, file)
