"""A Python watcher and `kvcli watch` on a daemon that is killed again and again.

    watchers.py --kvd PATH --kvcli PATH --dir DIR [--kills N]

Writers set, delete and run transactions, each change with a request id until it is
acknowledged. Both watchers begin before the first change and go on by themselves. In the end
both have told the same events in the same order, each once, every acknowledged change among
them; and a mirror made of nothing but events equals the store. Prints its findings as
`what<TAB>figure`; exits with 1 if one of them is not so.
"""

import argparse
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time

import grpc
from kvd.v1 import kv_service_pb2 as kv
from kvd.v1 import kv_service_pb2_grpc, types_pb2
from kvd.v1 import watch_service_pb2 as watch
from kvd.v1 import watch_service_pb2_grpc

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from manager import NotSo, check, fact, free_port  # noqa: E402

WRITERS = 4
LAST = b"the last"


class Daemon:
    def __init__(self, options, port):
        self.command = [options.kvd, "--data-dir", os.path.join(options.dir, "data"), "--listen", f"127.0.0.1:{port}"]
        self.command += ["--http-listen", "off", "--set", "log.segment_bytes=8MiB", "--set", "limits.batch_bytes=1100KiB"]
        self.log = open(os.path.join(options.dir, "kvd.err"), "ab")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        check(line.startswith("kvd ready "), f"no ready line but {line!r}")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def call(make, ask):
    """Asks until there is an answer: every change has an id, so asking again is safe."""
    while True:
        try:
            return ask(make())
        except grpc.RpcError as error:
            again = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
            if error.code() not in again + (grpc.StatusCode.DEADLINE_EXCEEDED,):
                raise
            time.sleep(0.02)


class Writer(threading.Thread):
    def __init__(self, number, address, over):
        super().__init__(daemon=True)
        self.number, self.over = number, over
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_reconnect_backoff_ms", 200)])
        self.store = kv_service_pb2_grpc.KvServiceStub(self.channel)
        self.random = random.Random(number)
        self.acknowledged = []
        self.failed = None

    def run(self):
        try:
            at = 0
            while not self.over.is_set():
                self.change(at)
                at += 1
        except Exception as error:  # noqa: BLE001 - told by the main thread
            self.failed = error

    def change(self, at):
        options = types_pb2.WriteOptions(request_id=b"%d-%d" % (self.number, at))
        key = b"w%d/%d" % (self.number, self.random.randrange(50))
        value = b"%d" % at
        kind = self.random.randrange(10)
        if kind < 7:
            request = kv.SetRequest(key=key, value=value, options=options)
            reply = call(lambda: request, lambda r: self.store.Set(r, timeout=5))
            self.acknowledged.append((reply.revision, [("SET", key)]))
        elif kind < 8:
            request = kv.DeleteRequest(key=key, options=options)
            reply = call(lambda: request, lambda r: self.store.Delete(r, timeout=5))
            if reply.deleted:
                self.acknowledged.append((reply.revision, [("DELETE", key)]))
        else:
            keys = [b"w%d/t%d" % (self.number, i) for i in range(3)]
            sets = [kv.TxnOperation(set=kv.SetRequest(key=each, value=value)) for each in keys]
            request = kv.TxnRequest(success=sets, options=options)
            reply = call(lambda: request, lambda r: self.store.Txn(r, timeout=5))
            self.acknowledged.append((reply.revision, [("SET", each) for each in keys]))


class Watcher(threading.Thread):
    """A mirror that is made of events and nothing else."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address = address
        self.position = None
        self.events, self.mirror = [], {}
        self.reconnects = 0
        self.begun, self.done = threading.Event(), threading.Event()
        self.failed = None

    def run(self):
        try:
            while not self.done.is_set():
                try:
                    self.follow()
                except grpc.RpcError as error:
                    check(error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), error)
                    self.reconnects += 1
                    time.sleep(0.02)
        except Exception as error:  # noqa: BLE001 - told by the main thread
            self.failed = error
            self.done.set()

    def follow(self):
        start = watch.WatchStart(position=self.position) if self.position else watch.WatchStart(now=watch.StartNow())
        create = watch.WatchCreate(range=types_pb2.KeyRange(all=types_pb2.AllKeys()), start=start)
        requests = queue.Queue()
        requests.put(watch.WatchRequest(create=create))
        with grpc.insecure_channel(self.address) as channel:
            stub = watch_service_pb2_grpc.WatchServiceStub(channel)
            pending = []
            for message in stub.Watch(iter(requests.get, None)):
                kind = message.WhichOneof("response")
                if kind == "created":
                    self.begun.set()
                elif kind == "events":
                    pending += message.events.events
                    if not message.events.more_of_revision:
                        self.take(message.events.revision, pending)
                        self.position = message.events.position
                        pending = []
                        if self.done.is_set():
                            return
                elif kind == "canceled":
                    raise NotSo(f"the watch was canceled: {message.canceled}")

    def take(self, revision, events):
        for event in events:
            # A message may hold several revisions; its own is the last of them.
            check(event.record.mod_revision <= revision, f"{event} in revision {revision}")
            kind = "SET" if event.type == watch.EVENT_TYPE_SET else "DELETE"
            self.events.append((event.record.mod_revision, kind, event.record.key))
            if kind == "SET":
                self.mirror[event.record.key] = event.record.value
            else:
                self.mirror.pop(event.record.key, None)
            if event.record.key == LAST:
                self.done.set()


def told_by_kvcli(path):
    with open(path) as lines:
        objects = [json.loads(line) for line in lines]
    return [(each["mod_revision"], each["type"], each["key"].encode()) for each in objects]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kvd", required=True)
    parser.add_argument("--kvcli", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    port = free_port()
    address = f"127.0.0.1:{port}"
    daemon = Daemon(options, port)
    daemon.start()
    told = os.path.join(options.dir, "kvcli.jsonl")
    over = threading.Event()
    watcher = Watcher(address)
    watcher.start()
    check(watcher.begun.wait(30), "the watch was not begun")
    with open(told, "w") as out, open(os.path.join(options.dir, "kvcli.err"), "w") as err:
        arguments = ["--endpoint", address, "-o", "jsonl", "watch", "--from", "2"]
        kvcli = subprocess.Popen([options.kvcli, *arguments], stdout=out, stderr=err)
        try:
            writers = [Writer(number, address, over) for number in range(WRITERS)]
            for writer in writers:
                writer.start()
            pauses = random.Random(7)
            for _ in range(options.kills):
                time.sleep(0.3 + pauses.random())
                daemon.kill()
                daemon.start()
            time.sleep(0.5)
            over.set()
            for writer in writers:
                writer.join(60)
                check(writer.failed is None, f"a writer failed: {writer.failed!r}")
            channel = grpc.insecure_channel(address)
            store = kv_service_pb2_grpc.KvServiceStub(channel)
            last = store.Set(kv.SetRequest(key=LAST, value=b""), timeout=10).revision
            check(watcher.done.wait(60), "the Python watcher did not hear of the last change")
            check(watcher.failed is None, f"the Python watcher failed: {watcher.failed!r}")
            deadline = time.monotonic() + 60
            while not any(each[0] == last for each in told_by_kvcli_so_far(told)):
                check(kvcli.poll() is None, f"kvcli watch ended with {kvcli.poll()}")
                check(time.monotonic() < deadline, "kvcli watch did not hear of the last change")
                time.sleep(0.05)
            judge(watcher, writers, told_by_kvcli(told), store)
        finally:
            kvcli.kill()
            kvcli.wait()
            daemon.kill()
    with open(os.path.join(options.dir, "kvcli.err")) as err:
        said = sum("going on behind revision" in line or "cut" in line for line in err)
    fact("kills of the daemon", options.kills)
    fact("the Python watcher connected anew", watcher.reconnects)
    fact("kvcli watch said that it goes on", said)


def told_by_kvcli_so_far(path):
    with open(path) as file:
        lines = file.read().split("\n")[:-1]
    return [(json.loads(line)["mod_revision"],) for line in lines[-8:]]


def judge(watcher, writers, by_kvcli, store):
    revisions = [event[0] for event in watcher.events]
    check(revisions == sorted(revisions), "events are not in order")
    check(len(set(watcher.events)) == len(watcher.events), "an event came twice")
    if by_kvcli != watcher.events:
        missing = [each for each in watcher.events if each not in set(by_kvcli)][:3]
        more = [each for each in by_kvcli if each not in set(watcher.events)][:3]
        raise NotSo(f"kvcli told {len(by_kvcli)}, Python {len(watcher.events)}; missing {missing}, more {more}")
    by_revision = {}
    for revision, kind, key in watcher.events:
        by_revision.setdefault(revision, set()).add((kind, key))
    changes = 0
    for writer in writers:
        for revision, wanted in writer.acknowledged:
            check(by_revision.get(revision) == set(wanted), f"revision {revision}: {wanted}, told {by_revision.get(revision)}")
            changes += 1
    scan = kv.ScanRequest(range=types_pb2.KeyRange(all=types_pb2.AllKeys()))
    held = {record.key: record.value for page in store.Scan(scan, timeout=60) for record in page.records}
    check(held == watcher.mirror, "the mirror is not the store")
    fact("acknowledged changes, each told once and in order by both", changes)
    fact("events", len(watcher.events))
    fact("keys of the mirror, equal to the store", len(held))


if __name__ == "__main__":
    try:
        main()
    except NotSo as what:
        print(f"watchers: {what}", file=sys.stderr)
        sys.exit(1)
