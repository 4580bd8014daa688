"""Plays a session of kvcli under a pseudo-terminal and compares what is shown.

    session.py KVD KVCLI WORK SESSION [--record]
    session.py --screen KVCLI ARGUMENT...

A session file has what is typed and what is shown:

    > get a           typed, with its Enter; what follows is shown until the next prompt
    + then            typed, with its Enter, in a text of several lines: no prompt follows
    < C-c             a key: C-c, C-d, Tab, Up, Enter, or text that is typed without Enter
    .                 a prompt with nothing behind it is waited for
    ? [y/N]           waited for
    ! kill | start    the daemon is killed with SIGKILL, or started again
    # …               a comment

Everything else is what must be shown, letter by letter; ports, positions and times are
replaced by names first. `--record` writes the file anew with what was shown.
`--screen` runs a program that draws on the whole screen, ends it with `q`, and prints
what it drew. Exits with 0, or 1 and the difference.
"""

import difflib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

LIMIT = 20.0
KEYS = {"C-c": "\x03", "C-d": "\x04", "Tab": "\t", "Up": "\x1b[A", "Enter": "\r"}
PROMPT = re.compile(r"^(127\.0\.0\.1:\d+|no connection|kvd)> $")


class Screen:
    """As much of a terminal as kvcli uses: rows, a cursor, erasing."""

    def __init__(self, columns: int = 100, rows: int = 0):
        self.columns, self.rows = columns, rows
        self.lines, self.row, self.column = [[]], 0, 0
        self.pending = ""

    def feed(self, text: str) -> None:
        text = self.pending + text
        self.pending = ""
        at = 0
        while at < len(text):
            char = text[at]
            if char == "\x1b":
                match = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[^\[])").match(text, at)
                if not match:
                    self.pending = text[at:]
                    return
                self.escape(match.group(1))
                at = match.end()
                continue
            at += 1
            if char == "\r":
                self.column = 0
            elif char == "\n":
                self.down(1)
            elif char >= " ":
                self.put(char)

    def down(self, count: int) -> None:
        self.row += count
        while len(self.lines) <= self.row:
            self.lines.append([])

    def put(self, char: str) -> None:
        if self.column >= self.columns:
            self.down(1)
            self.column = 0
        line = self.lines[self.row]
        line.extend(" " * (self.column + 1 - len(line)))
        line[self.column] = char
        self.column += 1

    def escape(self, sequence: str) -> None:
        numbers = [int(n) if n.isdigit() else 0 for n in sequence[1:-1].split(";")]
        count = max(numbers[0], 1)
        kind = sequence[-1]
        if sequence[0] != "[" or "?" in sequence:
            return
        if kind == "A":
            self.row = max(self.row - count, 0)
        elif kind == "B":
            self.down(count)
        elif kind == "C":
            self.column += count
        elif kind == "D":
            self.column = max(self.column - count, 0)
        elif kind == "H":
            self.row = 0
            self.down(count - 1)
            self.column = max((numbers + [1])[1], 1) - 1
        elif kind == "K":
            del self.lines[self.row][self.column :]
        elif kind == "J" and numbers[0] == 2:
            self.lines = [[] for _ in self.lines]
        elif kind == "J":
            del self.lines[self.row][self.column :]
            del self.lines[self.row + 1 :]

    def text(self) -> list[str]:
        return ["".join(line) for line in self.lines]


class Terminal:
    def __init__(self, argv: list[str], environment: dict[str, str], columns: int, rows: int):
        self.screen = Screen(columns)
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(argv[0], argv, environment)
            finally:
                os._exit(127)
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)
        self.seen, self.code = 0, None

    def read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        if not data:
            self.end()
            return False
        self.screen.feed(data.decode("utf-8", "replace"))
        return True

    def end(self) -> None:
        if self.code is None:
            _, status = os.waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)

    def send(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait(self, what: str, done) -> None:
        limit = time.monotonic() + LIMIT
        while not done():
            if self.code is not None or time.monotonic() > limit:
                shown = "\n".join(self.screen.text()[-12:])
                sys.exit(f"waited in vain for {what}; the end of what is shown:\n{shown}")
            self.read(0.05)

    def idle(self) -> bool:
        """Whether the cursor stands behind a prompt, at the end of all that is shown."""
        screen = self.screen
        lines = screen.text()
        return screen.row == len(lines) - 1 and bool(PROMPT.match(lines[screen.row]))

    def new_lines(self) -> list[str]:
        """What was shown since the last look, without the line of the cursor."""
        lines = self.screen.text()[self.seen : self.screen.row]
        self.seen = self.screen.row
        return lines


class Daemon:
    def __init__(self, kvd: str, work: str):
        self.kvd, self.work, self.process = kvd, work, None
        self.listen = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        flags = ["--data-dir", f"{self.work}/session-data", "--listen", self.listen]
        with open(f"{self.work}/session-kvd.err", "ab") as log:
            self.process = subprocess.Popen(
                [self.kvd, *flags, "--http-listen", "off"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = self.process.stdout.readline()
        match = re.search(r"listen=(\S+)", line)
        if not match:
            sys.exit(f"kvd did not get ready: {line!r}")
        self.listen = match.group(1)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def plain(line: str, listen: str) -> str:
    line = line.rstrip().replace(listen, "ENDPOINT")
    # A line that was run has its hints taken away; what is left of times goes here.
    line = re.sub(r"\b\d+\.\d+ s\b", "TIME", line)
    return line.replace("ENDPOINT> ", "> ")


def play(kvd: str, kvcli: str, work: str, path: str, record: bool) -> int:
    with open(path, encoding="utf-8") as file:
        script = file.read().splitlines()
    daemon = Daemon(kvd, work)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": work,
        "TERM": "xterm",
        "NO_COLOR": "1",
        "XDG_STATE_HOME": f"{work}/session-state",
    }
    terminal = Terminal([kvcli, "--endpoint", daemon.listen], environment, 160, 40)
    out: list[str] = []

    def collect() -> None:
        out.extend(plain(line, daemon.listen) for line in terminal.new_lines())

    try:
        terminal.wait("the first prompt", terminal.idle)
        terminal.new_lines()
        for line in script:
            kind, text = line[:2], line[2:]
            if kind == "> ":
                out.append(line)
                row = terminal.screen.row
                terminal.send(text + "\r")
                terminal.wait(
                    f"the prompt after {text!r}",
                    lambda row=row: terminal.screen.row > row and terminal.idle(),
                )
                terminal.seen = row + 1
                collect()
            elif kind == "+ ":
                out.append(line)
                row = terminal.screen.row
                terminal.send(text + "\r")
                terminal.wait(f"a line after {text!r}", lambda row=row: terminal.screen.row > row)
                terminal.seen = terminal.screen.row
            elif kind == "< ":
                out.append(line)
                terminal.send(KEYS.get(text, text))
            elif kind == "? ":
                out.append(line)
                terminal.wait(repr(text), lambda text=text: any(
                    text in shown for shown in terminal.screen.text()[terminal.seen :]
                ))
            elif line == "! kill":
                out.append(line)
                daemon.kill()
            elif line == "! start":
                out.append(line)
                daemon.start()
            elif kind == "# ":
                out.append(line)
            elif line == ".":
                # All keys are pressed: the prompt has to be there again.
                out.append(line)
                terminal.wait("a prompt", terminal.idle)
                terminal.new_lines()
        terminal.send("\x04")
        terminal.wait("the end", lambda: terminal.code is not None)
        if terminal.code != 0:
            sys.exit(f"the session ended with {terminal.code}")
    finally:
        daemon.kill()
        if terminal.code is None:
            os.kill(terminal.pid, signal.SIGKILL)
            terminal.end()
    if record:
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(out) + "\n")
        return 0
    difference = list(difflib.unified_diff(script, out, "wanted", "shown", lineterm=""))
    print("\n".join(difference))
    return 1 if difference else 0


def draw(argv: list[str]) -> int:
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    terminal = Terminal(argv, environment, 80, 24)
    limit = time.monotonic() + 4.0
    while time.monotonic() < limit and terminal.code is None:
        terminal.read(0.1)
    lines = [line.rstrip() for line in terminal.screen.text()]
    terminal.send("q")
    terminal.wait("the end", lambda: terminal.code is not None)
    print("\n".join(lines[:24]).rstrip())
    return terminal.code


def main() -> int:
    if sys.argv[1] == "--screen":
        return draw(sys.argv[2:])
    record = sys.argv[-1] == "--record"
    kvd, kvcli, work, path = sys.argv[1:5]
    return play(kvd, kvcli, work, path, record)


if __name__ == "__main__":
    sys.exit(main())
