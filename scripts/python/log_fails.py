"""Lets the log of a real kvd fail under load, and holds it to what it promises then.

    log_fails.py sync|truncate --kvd PATH --dir DIR [--rounds N] [--seed N] [--set NAME=VALUE…]

    sync      one fdatasync fails, by fault injection of strace, and later ones would succeed
    truncate  somebody cuts the segment short that the log is mapped from

Whatever it was: what was acknowledged is durable, nothing is acknowledged afterwards, nobody
may read what may be lost, the state shows everywhere, and what was acknowledged can be read.
After a restart all of that is there; a segment that was cut short is refused instead.
Prints its findings as `what<TAB>figure`; exits with 1 if one of them is not so.
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import grpc
from kvd.v1 import admin_service_pb2 as admin
from kvd.v1 import admin_service_pb2_grpc, kv_service_pb2_grpc, types_pb2
from kvd.v1 import kv_service_pb2 as kv

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from full_disk import details, serve  # noqa: E402
from manager import NotSo, check, fact, status_code  # noqa: E402

WRITERS = 8
SYNCED = types_pb2.WriteOptions(durability=types_pb2.DURABILITY_SYNCED)
FAILED = ("LOG_FAILED", "UNKNOWN_OUTCOME")


def value_of(key):
    return hashlib.sha256(key).hexdigest().encode() * 4


class Load:
    """Clients that set new keys, durably, and know what became of each."""

    def __init__(self, address, prefix):
        self.address, self.prefix = address, prefix
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.acknowledged, self.undecided, self.refused = {}, set(), set()
        self.acknowledged_at, self.wrong = 0.0, []
        jobs = [threading.Thread(target=self.write, args=(number,), daemon=True) for number in range(WRITERS)]
        self.threads = jobs
        for job in jobs:
            job.start()

    def write(self, number):
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.address, options=options) as channel:
            store = kv_service_pb2_grpc.KvServiceStub(channel)
            at = 0
            while not self.over.is_set():
                key = b"%s-%d-%d" % (self.prefix, number, at)
                at += 1
                try:
                    reply = store.Set(kv.SetRequest(key=key, value=value_of(key), options=SYNCED), timeout=30)
                    with self.lock:
                        self.acknowledged[key] = reply.revision
                        self.acknowledged_at = time.monotonic()
                except grpc.RpcError as error:
                    reason, _ = details(error)
                    with self.lock:
                        if reason == "UNKNOWN_OUTCOME" or reason is None:
                            self.undecided.add(key)
                        elif reason == "LOG_FAILED":
                            self.refused.add(key)
                        elif reason not in ("OVERLOADED", "NO_LOG_SPACE") and not self.over.is_set():
                            self.wrong.append(f"{key!r}: {reason} {error}")
                    time.sleep(0.01)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


def until(holds, limit, what):
    deadline = time.monotonic() + limit
    while not holds():
        check(time.monotonic() < deadline, what)
        time.sleep(0.01)


def health(channel, name):
    """grpc.health.v1 by hand: 1 SERVING, 2 NOT_SERVING."""
    name = name.encode()
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check", request_serializer=lambda it: it, response_deserializer=lambda it: it
    )
    return call(b"\x0a" + bytes([len(name)]) + name, timeout=10)[-1]


def newest_segment(data):
    return os.path.join(data, max(name for name in os.listdir(data) if name.startswith("seg-")))


def fail_a_sync(service, data, at, log):
    """Attaches strace, whose `at`-th fdatasync from now on fails. Returns what ends it."""
    command = ["strace", "-f", "-y", "-q", "-e", "trace=fdatasync,fsync,msync", "-o", log]
    command += ["-e", f"inject=fdatasync:error=EIO:when={at}", "-p", str(service.process.pid)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def synced_after(log):
    """Syncs of the file whose sync has failed, after that."""
    with open(log) as lines:
        lines = list(lines)
    failed = [n for n, line in enumerate(lines) if "INJECTED" in line]
    check(len(failed) == 1, f"{len(failed)} syncs were made to fail")
    path = re.search(r"<([^>]*)>", lines[failed[0]]).group(1)
    check("seg-" in path, f"not a segment's sync: {lines[failed[0]]}")
    return [line for line in lines[failed[0] + 1 :] if f"<{path}>" in line]


def look_at_failed(service, address, http_port, load):
    """The state after the failure, from every side."""
    with grpc.insecure_channel(address) as channel:
        store = kv_service_pb2_grpc.KvServiceStub(channel)
        asked = admin_service_pb2_grpc.AdminServiceStub(channel)

        def state():
            return asked.GetStatus(admin.GetStatusRequest(), timeout=10)

        until(lambda: state().state == admin.SERVER_STATE_POISONED, 20, f"GetStatus never says POISONED:\n{service.tail()}")
        told = time.monotonic()
        time.sleep(0.3)
        status = state()
        check("log failed" in status.state_detail, f"the detail is {status.state_detail!r}")
        # An answer may have been on its way when the state was asked for.
        check(load.acknowledged_at < told + 0.05, f"a write was acknowledged {load.acknowledged_at - told:.3f} s later")
        durable = status.header.durable_revision
        with load.lock:
            acknowledged = dict(load.acknowledged)
        check(acknowledged, "nothing was acknowledged before")
        newest = max(acknowledged.values())
        check(newest <= durable, f"revision {newest} was acknowledged, {durable} is durable")
        check(status_code(http_port) == 503, "/readyz does not say so")
        check(health(channel, "kvd.v1.KvService/write") == 2, "health says that writes are served")
        check(health(channel, "kvd.v1.KvService") == 1, "health says that reads are not served")
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/metrics", timeout=10) as reply:
            metrics = reply.read().decode()
        check('kvd_state{state="log_failed"} 1' in metrics, "the metric does not say so")
        with open(service.log.name) as log:
            check("the log failed" in log.read(), "no line of the log says so")
        for key in random.Random(1).sample(sorted(acknowledged), min(200, len(acknowledged))):
            reply = store.Get(kv.GetRequest(key=key), timeout=10)
            check(reply.record.value == value_of(key), f"{key!r} reads {reply}")
            check(reply.header.durable, f"{key!r} is not durable: {reply.header}")
        with load.lock:
            undecided = sorted(load.undecided)
        hidden = 0
        for key in undecided:
            try:
                reply = store.Get(kv.GetRequest(key=key), timeout=10)
                visible = reply.found and reply.record.mod_revision > durable
                check(not visible, f"{key!r} may be lost, and is read as durable: {reply}")
            except grpc.RpcError as error:
                check(details(error)[0] in FAILED, f"{key!r}: {error}")
                hidden += 1
        try:
            store.Set(kv.SetRequest(key=b"later", value=b"", options=SYNCED), timeout=10)
            raise NotSo("a write was accepted after the log had failed")
        except grpc.RpcError as error:
            reason, _ = details(error)
            check((error.code(), reason) == (grpc.StatusCode.UNAVAILABLE, "LOG_FAILED"), error)
        return hidden


def verify(address, load):
    found = 0
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 64 << 20)]) as channel:
        store = kv_service_pb2_grpc.KvServiceStub(channel)
        keys = sorted(load.acknowledged)
        for first in range(0, len(keys), 500):
            part = keys[first : first + 500]
            results = store.BatchGet(kv.BatchGetRequest(keys=part), timeout=60).results
            for key, result in zip(part, results, strict=True):
                check(result.record.value == value_of(key), f"{key!r} was acknowledged and is lost")
        for key in sorted(load.undecided | load.refused):
            reply = store.Get(kv.GetRequest(key=key), timeout=10)
            check(not reply.found or key not in load.refused, f"{key!r} was refused and is there")
            check(not reply.found or reply.record.value == value_of(key), f"{key!r} holds {reply}")
            found += reply.found
    return found


def one_round(options, number, rng):
    data = os.path.join(options.dir, f"data-{number}")
    log = os.path.join(options.dir, f"strace-{number}")
    service, address, http_port = serve(options, data)
    load = Load(address, b"%d" % number)
    tracer = None
    try:
        until(lambda: len(load.acknowledged) > 100, 30, "nothing is acknowledged")
        time.sleep(rng.random() * 0.3)
        if options.story == "sync":
            tracer = fail_a_sync(service, data, rng.randrange(1, 60), log)
        else:
            os.truncate(newest_segment(data), 4096 * rng.randrange(1, 3))
        until(lambda: load.refused or load.undecided, 30, "no write was told of it")
        hidden = look_at_failed(service, address, http_port, load)
        check(service.process.poll() is None, "the process has ended")
        load.stop()
        check(not load.wrong, "; ".join(load.wrong[:3]))
        if tracer:
            tracer.send_signal(signal.SIGTERM)
            tracer.wait(20)
            check(not synced_after(log), f"it was synced again: {synced_after(log)}")
        if number % 2:
            service.process.send_signal(signal.SIGTERM)
            service.process.wait(60)
        service.kill()
        if options.story == "sync":
            service, address, http_port = serve(options, data)
            found = verify(address, load)
        else:
            found = refused(options, data)
        return len(load.acknowledged), len(load.undecided), hidden, found
    except BaseException:
        print(service.tail(), file=sys.stderr)
        raise
    finally:
        load.over.set()
        if tracer and tracer.poll() is None:
            tracer.kill()
        if service.process.poll() is None:
            service.kill()
        shutil.rmtree(data, ignore_errors=True)


def refused(options, data):
    """A start and a check refuse a segment that was cut short, by its name."""
    name = os.path.basename(newest_segment(data))
    for command in (["--data-dir", data, "--listen", "127.0.0.1:0", "--http-listen", "off"], ["check", data]):
        done = subprocess.run(
            [options.kvd, *command], capture_output=True, text=True, timeout=60, check=False
        )
        check(done.returncode == 65, f"{command[0]} exits with {done.returncode}: {done.stderr}")
        check(name in done.stdout + done.stderr, f"{command[0]} does not name {name}: {done.stderr}")
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("story", choices=("sync", "truncate"))
    parser.add_argument("--kvd", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    rng = random.Random(options.seed)
    rounds = [one_round(options, number, rng) for number in range(options.rounds)]
    acknowledged, undecided, hidden, found = (sum(column) for column in zip(*rounds, strict=True))
    fact("rounds, seed", f"{options.rounds}, {options.seed}")
    fact("writes acknowledged before, after", f"{acknowledged}, 0")
    fact("undecided, of these withheld from durable reads", f"{undecided}, {hidden}")
    if options.story == "sync":
        fact("syncs of the segment after the one that failed", 0)
        fact("after a restart: acknowledged and lost, refused and there, undecided and there", f"0, 0, {found}")
    else:
        fact("after that: start and check", "exit 65, the segment is named")


if __name__ == "__main__":
    try:
        main()
    except NotSo as what:
        print(f"log_fails: {what}", file=sys.stderr)
        sys.exit(1)
