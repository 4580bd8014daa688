"""Opens and drops connections, and reloads settings with a mistake under load.

    churn.py HOST:PORT PID CONFIG KVCLI ROUNDS

Prints its findings as `what<TAB>figure`; exits with 1 if descriptors or memory do not
come back to where they were, or if anything but a refusal comes of a mistake.
"""

import os
import signal
import socket
import subprocess
import sys
import time

CONNECTIONS = 1000
# Open at the same time: below the number of descriptors that a shell usually allows.
AT_ONCE = 200
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
# HEADERS of stream 1 with a header block that never ends: a call that has begun.
BEGUN = b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82"

WAYS = {"without a byte": b"", "after the preface": PREFACE + SETTINGS, "in the middle of a call": PREFACE + SETTINGS + BEGUN}


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def churn(address, data):
    for _ in range(CONNECTIONS // AT_ONCE):
        opened = []
        for _ in range(AT_ONCE):
            connection = socket.create_connection(address)
            if data:
                connection.sendall(data)
            opened.append(connection)
        for connection in opened:
            connection.close()


def settle(pid, wanted):
    """Waits until there are as few descriptors as before."""
    deadline = time.monotonic() + 10
    while descriptors(pid) > wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return descriptors(pid)


def reloads(pid, config, kvcli, endpoint):
    """Mistakes while calls are in flight: every call is answered as if nothing were."""
    with open(config) as file:
        good = file.read()
    mistakes = ["[log\n", "[log]\nsnyc = 1\n", "[log]\nsegment_bytes = 5\n", "[server]\nmax_streams = 0\n"]
    script = "".join(f"set r{i} {i}\nget r{i}\n" for i in range(2000))
    load = subprocess.Popen(
        [kvcli, "--endpoint", endpoint], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    count = 0
    begun = time.monotonic()
    load.stdin.write(script[: len(script) // 2])
    for mistake in mistakes * 10:
        with open(config, "w") as file:
            file.write('[memory]\nmax_bytes = "1MiB"\n' + mistake)
        os.kill(pid, signal.SIGHUP)
        count += 1
        time.sleep(0.02)
    load.stdin.write(script[len(script) // 2 :])
    out, _ = load.communicate()
    with open(config, "w") as file:
        file.write(good)
    if load.returncode != 0 or out.split() != [str(i) for i in range(2000)]:
        sys.exit(f"calls during reloads: exit {load.returncode}, {len(out.split())} answers")
    print(f"reloads with a mistake under load\t{count} in {time.monotonic() - begun:.1f} s, 4,000 calls answered as ever")


def main():
    endpoint, pid, config, kvcli, rounds = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
    host, port = endpoint.rsplit(":", 1)
    address = (host, int(port))
    reloads(pid, config, kvcli, endpoint)
    # What the first ones cost stays: buffers, threads' stacks, the allocator's arenas.
    for data in WAYS.values():
        churn(address, data)
    time.sleep(2)
    before, memory = descriptors(pid), resident(pid)
    for turn in range(1, rounds + 1):
        for way, data in WAYS.items():
            churn(address, data)
            after = settle(pid, before)
            if after != before:
                sys.exit(f"{CONNECTIONS} connections dropped {way}: {before} descriptors before, {after} after")
            print(f"{CONNECTIONS} connections dropped {way}, round {turn}\tdescriptors {before} before and after")
    time.sleep(2)
    grown = resident(pid) - memory
    if grown > 4 << 20:
        sys.exit(f"resident memory grew by {grown} bytes")
    print(f"resident memory, {rounds * len(WAYS) * CONNECTIONS} connections later\t{memory / 2**20:.1f} MiB, {grown / 2**20:+.1f} MiB")


if __name__ == "__main__":
    main()
