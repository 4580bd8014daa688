"""Plays the service manager for kvd: what systemd would see, allow and end.

It gives a datagram socket in NOTIFY_SOCKET, a limit for the start that only
EXTEND_TIMEOUT_USEC moves, a watchdog period, and listening sockets; and it does what
systemd does with the answers. Needs nothing but Python's own library.

    manager.py STORY --kvd PATH --kvcli PATH --dir DIR [options]

Each story prints its findings as `what<TAB>figure` and exits with 1 if something is not so.
"""

import argparse
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request


class NotSo(Exception):
    """What was to be shown does not hold."""


def check(holds, what):
    if not holds:
        raise NotSo(what)


def fact(what, figure):
    print(f"{what}\t{figure}", flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """A kvd as a manager runs it: its process and what it has said, with the time."""

    def __init__(self, program, arguments, environment=None, watchdog=None, sockets=(), deaf=False):
        self.path = os.path.join(tempfile.mkdtemp(prefix="m"), "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(0.1)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("KVD_", "LISTEN_", "WATCHDOG_"))}
        env.update(environment or {}, NOTIFY_SOCKET=self.path)
        if watchdog:
            env["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        self.log = tempfile.NamedTemporaryFile("w+", prefix="kvd-log-")
        command = [program, *arguments]
        passed = ()
        if sockets:
            # exec keeps the process id, so the shell can write it into LISTEN_PID, and puts
            # the descriptors where they are looked for: at 3 and above.
            names = ":".join(name for name, _ in sockets)
            env.update(LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names)
            passed = tuple(fcntl.fcntl(each, fcntl.F_DUPFD, 50) for _, each in sockets)
            moves = " ".join(f"{to}<&{at}" for to, at in enumerate(passed, 3))
            command = ["bash", "-c", f'exec {moves}; LISTEN_PID=$$ exec "$0" "$@"', *command]
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=self.log, pass_fds=passed
        )
        for descriptor in passed:
            os.close(descriptor)
        self.said = []
        self.changed = threading.Condition()
        self.over = False
        if not deaf:
            self.listener = threading.Thread(target=self.listen, daemon=True)
            self.listener.start()

    def listen(self):
        while not self.over:
            try:
                message = self.socket.recv(65536).decode()
            except TimeoutError:
                continue
            except OSError:
                return
            with self.changed:
                for line in message.splitlines():
                    name, _, value = line.partition("=")
                    self.said.append((time.monotonic(), name, value))
                self.changed.notify_all()

    def times(self, name, since=0.0):
        with self.changed:
            return [at for at, said, _ in self.said if said == name and at >= since]

    def values(self, name, since=0.0):
        with self.changed:
            return [value for at, said, value in self.said if said == name and at >= since]

    def wait_for(self, name, limit, since=0.0):
        """When it was said; None if it was not within the limit."""
        deadline = time.monotonic() + limit
        with self.changed:
            while True:
                for at, said, _ in self.said:
                    if said == name and at >= since:
                        return at
                left = deadline - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    return None
                self.changed.wait(min(left, 0.1))

    def start(self, limit, heed=True):
        """Waits for READY as systemd does: the limit counts from the start, and each
        EXTEND_TIMEOUT_USEC moves it. Returns the seconds it took, None if it was killed."""
        while True:
            deadline = self.started + limit
            if heed:
                with self.changed:
                    for at, name, value in self.said:
                        if name == "EXTEND_TIMEOUT_USEC":
                            deadline = max(deadline, at + int(value) / 1e6)
            left = deadline - time.monotonic()
            at = self.wait_for("READY", min(0.05, max(left, 0)))
            if at:
                return at - self.started
            check(self.process.poll() is None, f"kvd ended with {self.process.poll()}:\n{self.tail()}")
            if left <= 0:
                self.kill()
                return None

    def ready_line(self):
        line = self.process.stdout.readline().decode()
        check(line.startswith("kvd ready "), f"no ready line but {line!r}:\n{self.tail()}")
        return dict(field.split("=", 1) for field in line.split()[2:])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.close()

    def kill(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self):
        self.over = True
        self.socket.close()

    def tail(self):
        with open(self.log.name) as log:
            return "".join(log.readlines()[-12:])


def status_code(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


class Slow(threading.Thread):
    """Makes a slow machine: stops the process for 95 % of the time."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process = process
        self.over = threading.Event()

    def run(self):
        try:
            while not self.over.is_set() and self.process.poll() is None:
                self.process.send_signal(signal.SIGSTOP)
                time.sleep(0.19)
                self.process.send_signal(signal.SIGCONT)
                time.sleep(0.01)
        finally:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.over.set()
        self.join()


class Tool:
    """kvcli against one server."""

    def __init__(self, program, endpoint):
        self.command = [program, "--endpoint", endpoint]

    def __call__(self, *arguments, text=None, timeout="10s"):
        return subprocess.run(
            [*self.command, "--timeout", timeout, *arguments],
            input=text, capture_output=True, text=True, check=False,
        )


def arguments(options, more=()):
    return [
        "serve", "--data-dir", options.dir, "--allow-volatile", "--listen", "127.0.0.1:0",
        "--http-listen", f"127.0.0.1:{options.http}", *more,
    ]


def fill(options):
    """A log of so many bytes over few keys, so that memory stays small."""
    value = "v" * 500_000
    service = Service(options.kvd, arguments(options, ["--sync", "never"]))
    check(service.start(60), "kvd does not start")
    tool = Tool(options.kvcli, service.ready_line()["listen"])
    count = options.bytes // 500_000
    script = "".join(f"set k{i % 16} {value}\n" for i in range(64))
    for _ in range(0, count, 64):
        done = tool(text=script, timeout="60s")
        check(done.returncode == 0, done.stderr)
    check(service.stop() == 0, "kvd does not stop in order")
    size = sum(entry.stat().st_size for entry in os.scandir(options.dir))
    fact("log to read at start", f"{size / 2**30:.2f} GiB in {count} writes")


def story_start(options):
    fill(options)
    # Without asking for more time it would be ended: else the limit shows nothing.
    strict = Service(options.kvd, arguments(options))
    slow = Slow(strict.process)
    slow.start()
    took = strict.start(options.limit, heed=False)
    slow.end()
    check(took is None, f"the start took {took} s, less than the limit, and shows nothing: a longer log is needed")
    fact(f"stopped for 95 % of the time, start limit {options.limit:g} s, EXTEND_TIMEOUT_USEC ignored", "killed by the limit")

    service = Service(options.kvd, arguments(options))
    slow = Slow(service.process)
    slow.start()
    before = []
    over = threading.Event()

    def poll():
        while not over.is_set():
            before.append((time.monotonic(), status_code(options.http)))
            time.sleep(0.05)

    poller = threading.Thread(target=poll, daemon=True)
    poller.start()
    # A reload while loading is no step that the manager may take for the end of the start.
    check(service.wait_for("STATUS", 10), "no STATUS while loading")
    service.process.send_signal(signal.SIGHUP)
    took = service.start(options.limit)
    check(took is not None, "killed by the limit although it asks for more time")
    check(not service.times("RELOADING"), "RELOADING=1 was said while loading")
    code = status_code(options.http)
    over.set()
    poller.join()
    slow.end()
    check(code == 200, f"READY=1 was said while /readyz answers {code}")
    ready = service.started + took
    early = [answer for at, answer in before if at < ready]
    check(503 in early, "the start was over before it was looked at")
    tool = Tool(options.kvcli, service.ready_line()["listen"])
    check(tool("get", "k1").returncode == 0, "READY=1 was said and a read is not served")
    extended = service.times("EXTEND_TIMEOUT_USEC")
    loading = [text for text in service.values("STATUS") if text.startswith("loading: ")]
    percents = [int(re.match(r"loading: (\d+) %", text)[1]) for text in loading]
    check(percents == sorted(percents) and percents[-1] > 0, f"progress goes {percents}")
    check(took > options.limit, f"it took {took} s, which is within the limit")
    fact(f"the same, heeded", f"ready after {took:.1f} s, time asked for {len(extended)} times")
    check(len(service.times("READY")) == 1, "READY=1 was said more than once")
    check("settings read again" in service.tail(), "the reload was not done")
    fact("SIGHUP while loading", "done, and neither RELOADING=1 nor READY=1 said for it")
    fact("STATUS while loading", f"{len(loading)} reports, the last: {loading[-1]}")
    fact("/readyz before READY=1", f"503 on {early.count(503)} looks, 200 on {early.count(200)}")
    check(not service.times("WATCHDOG"), "WATCHDOG=1 without a watchdog")
    check(service.stop() == 0, "kvd does not stop in order")

    service = Service(options.kvd, arguments(options))
    took = service.start(options.limit)
    check(took is not None, "killed by the limit")
    fact("the same start at full speed", f"ready after {took:.1f} s")
    check(service.stop() == 0, "kvd does not stop in order")


def gaps(times):
    return [later - earlier for earlier, later in zip(times, times[1:])]


def story_watchdog(options):
    period = options.watchdog
    freeze = os.path.join(options.dir + "-freeze")
    service = Service(
        options.kvd_debug, arguments(options), {"KVD_DEBUG_FREEZE": freeze}, watchdog=period
    )
    check(service.start(60), "kvd does not start")
    tool = Tool(options.kvcli, service.ready_line()["listen"])
    ready = time.monotonic()
    time.sleep(3 * period)
    idle = service.times("WATCHDOG", ready)
    check(idle and max(gaps([ready, *idle, time.monotonic()])) < period, "no WATCHDOG=1 while idle")
    fact(f"WATCHDOG=1 while idle, period {period:g} s", f"{len(idle)} in {3 * period:g} s, longest gap {max(gaps(idle)):.2f} s")

    begun = time.monotonic()
    script = "".join(f"set w{i % 100} {i}\n" for i in range(2000))
    while time.monotonic() - begun < 2 * period:
        check(tool(text=script, timeout="60s").returncode == 0, "a write failed")
    busy = service.times("WATCHDOG", begun)
    check(max(gaps([begun, *busy, time.monotonic()])) < period, "no WATCHDOG=1 under load")
    fact("under load", f"{len(busy)}, longest gap {max(gaps(busy)):.2f} s")

    check(tool("set", "before", "x").returncode == 0, "a write failed")
    open(freeze, "w").close()
    stuck = time.monotonic()
    undecided = tool("set", "during", "x", timeout="500ms")
    check(undecided.returncode == 5, f"a write into a frozen log ended with {undecided.returncode}")
    check(tool("get", "before").returncode == 0, "reads of what is durable go on while the log is stuck")
    time.sleep(3 * period)
    after = service.times("WATCHDOG", stuck)
    last = max(after, default=stuck) - stuck
    check(last < period, f"WATCHDOG=1 came {last:.2f} s after the writer froze")
    fact("writer frozen by the debug hook", f"the last WATCHDOG=1 {last:.2f} s later, then none for {3 * period - last:.1f} s")
    os.unlink(freeze)
    again = service.wait_for("WATCHDOG", period, time.monotonic())
    check(again, "no WATCHDOG=1 after the writer moves again")
    check(tool("get", "during").returncode == 0, "the write that was stuck is not there")
    fact("let go", "WATCHDOG=1 again within a period; the write that was stuck is there")
    check(service.stop() == 0, "kvd does not stop in order")

    # A manager that does what systemd does: no sign of life, so SIGABRT.
    open(freeze, "w").close()
    service = Service(options.kvd_debug, arguments(options), {"KVD_DEBUG_FREEZE": freeze}, watchdog=period)
    check(service.start(60), "kvd does not start")
    tool = Tool(options.kvcli, service.ready_line()["listen"])
    tool("set", "k", "v", timeout="500ms")
    while time.monotonic() - max(service.times("WATCHDOG") or [service.started]) < period:
        time.sleep(0.05)
    service.process.send_signal(signal.SIGABRT)
    code = service.process.wait(10)
    service.close()
    os.unlink(freeze)
    check(code == -signal.SIGABRT, f"ended with {code}")
    service = Service(options.kvd, arguments(options))
    check(service.start(60), "kvd does not start after the watchdog ended it")
    tool = Tool(options.kvcli, service.ready_line()["listen"])
    check(tool("get", "before").returncode == 0, "what was durable is gone")
    check(service.stop() == 0, "kvd does not stop in order")
    fact("ended by the watchdog and started again", "everything acknowledged is there")


def story_reload(options):
    config = options.dir + ".toml"

    def write(text):
        with open(config, "w") as file:
            file.write(text)

    write('[memory]\nmax_bytes = "100MiB"\n')
    service = Service(options.kvd, arguments(options, ["--config", config]))
    check(service.start(60), "kvd does not start")
    tool = Tool(options.kvcli, service.ready_line()["listen"])

    def reload():
        sent = time.monotonic()
        service.process.send_signal(signal.SIGHUP)
        begun = service.wait_for("RELOADING", 5, sent)
        check(begun, "no RELOADING=1")
        ended = service.wait_for("READY", 5, begun)
        check(ended, "no READY=1 after RELOADING=1")
        stamp = int(service.values("MONOTONIC_USEC", sent)[0]) / 1e6
        check(sent <= stamp <= ended, f"MONOTONIC_USEC is {stamp}, the reload was from {sent} to {ended}")
        return ended - sent, service.values("STATUS", ended)[-1]

    def limit():
        return re.search(r"^memory_max_bytes=(\d+)$", tool("-o", "raw", "status").stdout, re.M)[1]

    write('[memory]\nmax_bytes = "200MiB"\n[log]\nsync = "never"\n')
    took, status = reload()
    check(limit() == str(200 << 20), f"the limit is {limit()}")
    check("memory.max_bytes 100MiB -> 200MiB" in status and "needs a restart: log.sync" in status, status)
    fact("reload", f"RELOADING=1 with MONOTONIC_USEC, READY=1 after {took * 1000:.0f} ms")
    fact("its STATUS", status.replace(options.dir, "…"))
    write('[memory]\nmax_bytes = "300MiB"\n[log]\nsnyc = "never"\n')
    took, status = reload()
    check(status.startswith("reload refused") and "log.snyc" in status, status)
    check(limit() == str(200 << 20), "a refused reload changed the limit")
    fact("reload with a mistake", status.replace(options.dir, "…"))
    check(service.stop() == 0, "kvd does not stop in order")


def story_stop(options):
    service = Service(options.kvd, arguments(options), watchdog=options.watchdog)
    check(service.start(60), "kvd does not start")
    tool = Tool(options.kvcli, service.ready_line()["listen"])
    acknowledged = []
    over = threading.Event()

    def write():
        at = 0
        while not over.is_set():
            at += 1
            if tool("set", f"s{at}", str(at), timeout="2s").returncode == 0:
                acknowledged.append(at)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    time.sleep(1)
    sent = time.monotonic()
    code = service.stop()
    ended = time.monotonic()
    over.set()
    writer.join()
    check(code == 0, f"SIGTERM ended it with {code}")
    at = service.times("STOPPING", sent)
    check(at, "no STOPPING=1")
    asked = [int(value) / 1e6 for value in service.values("EXTEND_TIMEOUT_USEC", sent)]
    check(asked and asked[0] > 20, f"time asked for to drain: {asked}")
    fact("SIGTERM under load", f"STOPPING=1 after {(at[0] - sent) * 1000:.0f} ms, asks for {asked[0]:.0f} s, exit 0 after {ended - sent:.1f} s")
    service = Service(options.kvd, arguments(options))
    check(service.start(60), "kvd does not start")
    tool = Tool(options.kvcli, service.ready_line()["listen"])
    found = tool("-o", "raw", "mget", *[f"s{i}" for i in acknowledged]).stdout.split()
    check(len(found) == len(acknowledged), f"{len(acknowledged)} acknowledged, {len(found)} there")
    fact("acknowledged before and during the stop", f"{len(acknowledged)}, all there")
    check(service.stop() == 0, "kvd does not stop in order")


def story_deaf(options):
    """A manager that never reads, and one that is not there."""
    service = Service(options.kvd, arguments(options), watchdog=0.02, deaf=True)
    fields = service.ready_line()
    tool = Tool(options.kvcli, fields["listen"])
    # Long enough for the socket's queue to fill many times over.
    time.sleep(2)
    slowest = 0.0
    for at in range(50):
        begun = time.monotonic()
        check(tool("set", f"d{at}", "x").returncode == 0, "a write failed")
        slowest = max(slowest, time.monotonic() - begun)
    for _ in range(12):
        service.process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    check(tool("get", "d1").returncode == 0, "a read failed after reloads")
    begun = time.monotonic()
    check(service.stop() == 0, "kvd does not stop in order")
    took = time.monotonic() - begun
    check(took < 5, f"the stop took {took} s")
    fact("notify socket that nobody reads, watchdog of 20 ms, 12 reloads", f"slowest of 50 writes by kvcli {slowest * 1000:.0f} ms, stop {took:.1f} s")
    service = Service(options.kvd, arguments(options), {}, watchdog=1, deaf=True)
    os.unlink(service.path)
    service.ready_line()
    check(service.stop() == 0, "kvd does not stop in order")
    fact("notify socket that is removed", "serves and stops in order")


def story_sockets(options):
    """Listening sockets from the manager."""
    def listener(address="127.0.0.1"):
        made = socket.socket()
        made.bind((address, 0))
        made.listen(64)
        return made

    grpc, http = listener(), listener()
    early = socket.create_connection(grpc.getsockname())
    own = ["serve", "--data-dir", options.dir, "--allow-volatile"]
    service = Service(options.kvd, own, sockets=[("grpc", grpc), ("http", http)])
    check(service.start(60), "kvd does not start")
    fields = service.ready_line()
    endpoint = "127.0.0.1:%d" % grpc.getsockname()[1]
    check(fields["listen"] == endpoint, f"listens on {fields['listen']}, was given {endpoint}")
    check(status_code(http.getsockname()[1]) == 200, "the HTTP side is not on the socket it was given")
    check(Tool(options.kvcli, endpoint)("set", "k", "v").returncode == 0, "a write failed")
    early.close()
    check(service.stop() == 0, "kvd does not stop in order")
    fact("two sockets from the manager, by name", "served on both, no port of its own bound")

    everywhere = listener("0.0.0.0")
    for what, sockets, code, text in [
        ("a socket that others can reach", [("grpc", everywhere)], 78, "allow_unauthenticated"),
        ("a datagram socket", [("grpc", socket.socket(socket.AF_INET, socket.SOCK_DGRAM))], 78, "descriptor 3"),
        ("a socket that does not listen", [("grpc", socket.socket())], 78, "does not listen"),
    ]:
        service = Service(options.kvd, own, sockets=sockets)
        ended = service.process.wait(20)
        check(ended == code and text in service.tail(), f"{what}: {ended}, {service.tail()}")
        service.close()
        fact(f"{what} from the manager", f"exit {code}, {text!r} is in the message")


STORIES = {name.removeprefix("story_"): story for name, story in globals().items() if name.startswith("story_")}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("story", choices=sorted(STORIES))
    parser.add_argument("--kvd", required=True)
    parser.add_argument("--kvd-debug")
    parser.add_argument("--kvcli", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--bytes", type=int, default=2 << 30)
    parser.add_argument("--limit", type=float, default=10)
    parser.add_argument("--watchdog", type=float, default=2)
    options = parser.parse_args()
    options.http = free_port()
    try:
        STORIES[options.story](options)
    except NotSo as why:
        print(f"{options.story}: {why}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
