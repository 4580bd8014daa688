"""Fills the disk under a kvd that is written to, and frees it again.

    full_disk.py --kvd PATH --dir DIR --rounds N --value BYTES [--seconds S]

DIR lies on a small file system of its own. Writers set small keys that are new each time and
large ones that are set again and again; a reader and a deleter look at what was
acknowledged. In each round something else on the disk takes every free block and goes on
taking whatever kvd gives back; then it lets go. Prints its findings as `what<TAB>figure`;
exits with 1 if one of them is not so.
"""

import argparse
import hashlib
import os
import random
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from kvd.v1 import kv_service_pb2 as kv
from kvd.v1 import kv_service_pb2_grpc, types_pb2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from manager import NotSo, Service, check, fact, free_port  # noqa: E402

LATEST = types_pb2.ReadOptions(level=types_pb2.READ_LEVEL_LATEST)
LARGE_KEYS = 4
# Bytes a second of large values.
LARGE_RATE = 40e6
WATCHDOG = 4.0


def details(error):
    """The reason of a refusal, and whether it says when to come again."""
    reason, retry = None, False
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason = info.reason if info.domain == "kvd" else None
        retry |= detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    return reason, retry


class Load:
    """The clients, and what they know: what was acknowledged, and what was refused."""

    def __init__(self, address, value_bytes, seed):
        self.address = address
        self.value_bytes = value_bytes
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.live, self.gone = {}, set()
        self.large = {}
        self.refused_keys = set()
        self.accepted_at, self.refused_at = 0.0, 0.0
        self.counts = dict.fromkeys(("small", "large", "refused", "reads", "deletes", "undecided"), 0)
        self.wrong = []
        self.threads = []

    def start(self):
        jobs = [self.small] * 4 + [self.large_ones, self.reader, self.deleter]
        for number, job in enumerate(jobs):
            thread = threading.Thread(target=self.guard, args=(job, number), daemon=True)
            thread.start()
            self.threads.append(thread)

    def guard(self, job, number):
        options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.address, options=options) as channel:
            store = kv_service_pb2_grpc.KvServiceStub(channel)
            try:
                job(store, number)
            except Exception as error:  # noqa: BLE001 - told by the main thread
                if not self.over.is_set():
                    self.wrong.append(f"{job.__name__}: {error!r}")

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def write(self, store, key, value):
        """True: acknowledged. False: refused by name, with a time to come again."""
        request = kv.SetRequest(key=key, value=value)
        try:
            reply = store.Set(request, timeout=60)
            check(reply.applied and reply.header.durable, f"{key!r} is not durable: {reply}")
            self.accepted_at = time.monotonic()
            return True
        except grpc.RpcError as error:
            reason, retry = details(error)
            if reason == "NO_LOG_SPACE":
                check(error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error)
                check(retry, "a refusal without RetryInfo")
                self.refused_at = time.monotonic()
                self.count("refused")
                return False
            if reason == "OVERLOADED":
                return False
            if self.over.is_set() or reason in (None, "UNKNOWN_OUTCOME"):
                self.count("undecided")
                return None
            raise

    def small(self, store, number):
        at = 0
        while not self.over.is_set():
            key = b"small-%d-%d" % (number, at)
            at += 1
            value = hashlib.sha256(key).hexdigest().encode()
            written = self.write(store, key, value)
            if written:
                with self.lock:
                    self.live[key] = value
                    self.counts["small"] += 1
            elif written is False:
                # What was refused must not be there, not even in memory.
                found = store.Get(kv.GetRequest(key=key, options=LATEST), timeout=60).found
                check(not found, f"{key!r} was refused and is there")
                with self.lock:
                    self.refused_keys.add(key)
                time.sleep(0.02)

    def large_ones(self, store, _):
        version = 0
        while not self.over.is_set():
            key = b"large-%d" % (version % LARGE_KEYS)
            version += 1
            value = version.to_bytes(8, "big") * (self.value_bytes // 8)
            if self.write(store, key, value):
                with self.lock:
                    self.large[key] = version
                    self.counts["large"] += 1
                # Somebody else is to fill the disk, not a log that no snapshot keeps up with.
                time.sleep(self.value_bytes / LARGE_RATE)
            else:
                time.sleep(0.05)

    def some(self):
        with self.lock:
            return self.random.choice(list(self.live)) if self.live else None

    def reader(self, store, _):
        while not self.over.is_set():
            key = self.some()
            if key is None:
                time.sleep(0.01)
                continue
            with self.lock:
                value = self.live.get(key)
            reply = store.Get(kv.GetRequest(key=key), timeout=10)
            with self.lock:
                still = self.live.get(key) == value
            check(not still or value is None or reply.record.value == value, f"{key!r} reads {reply}")
            self.count("reads")
            time.sleep(0.002)

    def deleter(self, store, _):
        while not self.over.is_set():
            key = self.some()
            if key is not None:
                with self.lock:
                    del self.live[key]
                try:
                    check(store.Delete(kv.DeleteRequest(key=key), timeout=10).deleted, f"{key!r} was gone")
                except grpc.RpcError as error:
                    if self.over.is_set():
                        return
                    raise NotSo(f"a delete was refused: {details(error)} {error}") from error
                with self.lock:
                    self.gone.add(key)
                    self.counts["deletes"] += 1
            time.sleep(0.01)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(90)

    def is_sound(self):
        check(not self.wrong, "; ".join(self.wrong[:3]))

    def verify(self, address):
        """What was acknowledged is there, what was deleted or refused is not."""
        options = [("grpc.max_receive_message_length", 64 << 20)]
        with grpc.insecure_channel(address, options=options) as channel:
            store = kv_service_pb2_grpc.KvServiceStub(channel)
            keys = list(self.live)
            for first in range(0, len(keys), 500):
                part = keys[first : first + 500]
                results = store.BatchGet(kv.BatchGetRequest(keys=part), timeout=60).results
                for key, result in zip(part, results, strict=True):
                    check(result.record.value == self.live[key], f"{key!r} is lost")
            absent = list(self.gone | self.refused_keys)
            for first in range(0, len(absent), 500):
                part = absent[first : first + 500]
                results = store.BatchGet(kv.BatchGetRequest(keys=part), timeout=60).results
                for key, result in zip(part, results, strict=True):
                    check(result.WhichOneof("result") == "missing", f"{key!r} is back")
            for key, version in self.large.items():
                value = store.Get(kv.GetRequest(key=key), timeout=60).record.value
                check(len(value) == self.value_bytes // 8 * 8, f"{key!r} has {len(value)} bytes")
                found = int.from_bytes(value[:8], "big")
                check(found >= version and value == value[:8] * (len(value) // 8), f"{key!r} is {found}, not {version}")


class Ballast:
    """Something else on the disk that takes what is free, and goes on doing so."""

    def __init__(self, directory):
        self.directory = directory
        self.over = threading.Event()
        self.number = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            if not self.take():
                time.sleep(0.01)

    def take(self):
        disk = os.statvfs(self.directory)
        size = disk.f_bavail * disk.f_frsize
        took = False
        while size >= 4096:
            path = os.path.join(self.directory, f"ballast-{self.number}")
            self.number += 1
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
                took = True
                break
            except OSError:
                os.unlink(path)
                size //= 2
            finally:
                os.close(descriptor)
        return took

    def let_go(self):
        self.over.set()
        self.thread.join()
        for name in os.listdir(self.directory):
            if name.startswith("ballast-"):
                os.unlink(os.path.join(self.directory, name))


def until(holds, limit, what, load):
    deadline = time.monotonic() + limit
    while not holds():
        load.is_sound()
        check(time.monotonic() < deadline, what)
        time.sleep(0.01)


def healthy(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
            return reply.status == 200
    except urllib.error.HTTPError:
        return False


def serve(options, data):
    grpc_port, http_port = free_port(), free_port()
    arguments = ["--data-dir", data, "--listen", f"127.0.0.1:{grpc_port}", "--http-listen", f"127.0.0.1:{http_port}"]
    for setting in options.set:
        arguments += ["--set", setting]
    service = Service(options.kvd, arguments, watchdog=WATCHDOG)
    check(service.start(60) is not None, f"kvd did not start:\n{service.tail()}")
    return service, f"127.0.0.1:{grpc_port}", http_port


def one_round(options, service, load, http_port):
    """Fills the disk, looks, frees it. Returns the seconds to the first accepted write."""
    time.sleep(options.seconds)
    before = dict(load.counts)
    ballast = Ballast(options.dir)
    until(lambda: load.refused_at > load.accepted_at, 120, "no write was refused although the disk is full", load)
    full_from = time.monotonic()
    refused = dict(load.counts)
    time.sleep(options.seconds)
    until(lambda: not healthy(http_port) or load.accepted_at > full_from, 5, "/readyz says that all is well", load)
    after = dict(load.counts)
    check(after["refused"] > refused["refused"], "nothing was refused while the disk was full")
    check(after["reads"] > refused["reads"], "reads stood still while the disk was full")
    check(after["deletes"] > refused["deletes"], "deletes stood still while the disk was full")
    check(refused["small"] > before["small"], "nothing was written before")
    load.is_sound()
    ballast.let_go()
    freed = time.monotonic()
    until(lambda: load.accepted_at > freed, 30, "no write was accepted although there is space", load)
    took = load.accepted_at - freed
    # A round may be shorter than the time between two signs of life.
    fed = [full_from, *service.times("WATCHDOG", full_from), time.monotonic()]
    check(max(b - a for a, b in zip(fed, fed[1:], strict=False)) < WATCHDOG, f"the watchdog was fed at {fed}")
    return took, {what: after[what] - refused[what] for what in after}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kvd", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--value", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    data = os.path.join(options.dir, "data")
    os.makedirs(data, exist_ok=True)
    took, full, totals = [], [], {}
    for number in range(options.rounds):
        service, address, http_port = serve(options, data)
        load = Load(address, options.value, options.seed + number)
        load.start()
        try:
            seconds, during = one_round(options, service, load, http_port)
            took.append(seconds)
            full.append(during)
            # The end of every other round is a kill in the middle of the load.
            if number % 2 == 0:
                load.over.set()
                service.process.send_signal(signal.SIGKILL)
                service.process.wait()
                service.close()
                load.stop()
            else:
                load.stop()
                check(service.stop() == 0, f"kvd did not stop in order:\n{service.tail()}")
            load.is_sound()
            service, address, _ = serve(options, data)
            load.verify(address)
        except BaseException:
            print(service.tail(), file=sys.stderr)
            raise
        finally:
            load.over.set()
            service.kill()
        for what, count in load.counts.items():
            totals[what] = totals.get(what, 0) + count
        # The next round numbers its keys anew.
        for name in os.listdir(data):
            os.unlink(os.path.join(data, name))
    fact("rounds", options.rounds)
    fact("writes acknowledged, small and large", f"{totals['small']}, {totals['large']} of {options.value} bytes")
    fact("writes refused: NO_LOG_SPACE with RetryInfo, the key not there afterwards", totals["refused"])
    fact("undecided by a kill", totals["undecided"])
    fact("while the disk was full: reads", " ".join(str(each["reads"]) for each in full))
    fact("while the disk was full: deletes", " ".join(str(each["deletes"]) for each in full))
    fact("first write accepted after the disk was freed, s", " ".join(f"{each:.2f}" for each in took))
    check(max(took) <= 2, "it took more than 2 s to accept writes again")
    fact("acknowledged and lost, refused and there, after a kill and after a stop", "0, 0")
    fact("watchdog", "fed all the time")


if __name__ == "__main__":
    try:
        main()
    except NotSo as what:
        print(f"full_disk: {what}", file=sys.stderr)
        sys.exit(1)
