"""Loop devices and mounts by system calls, with nothing left behind.

What is mounted here is mounted in a mount namespace of the process' own (`private_mounts`), and
a loop device lets its file go when nobody has it open. So the end of the processes, even by
SIGKILL, is the end of the mounts and of the devices.

Needs root and nothing but Python's own library.
"""

import ctypes
import errno
import fcntl
import os
import struct
import time

LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x20000
MS_NOSUID, MS_NODEV, MS_NOATIME, MS_REC, MS_PRIVATE = 2, 4, 1024, 1 << 14, 1 << 18
MNT_DETACH = 2

LOOP_CTL_GET_FREE = 0x4C82
LOOP_CONFIGURE = 0x4C0A
# Let go of the file when the last one closes the device; read and write it past the page cache.
LO_AUTOCLEAR, LO_DIRECT_IO = 4, 16
# struct loop_config: fd, block_size; a loop_info64 of which only the flags (at 52 bytes) are set; reserved.
LOOP_CONFIG = struct.Struct("=II52xI176x64x")


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def text(value):
    return None if value is None else os.fsencode(value)


def mount(what, at, kind, flags=0, data=None):
    call("mount", text(what), text(at), text(kind), ctypes.c_ulong(flags), text(data))


def unmount(at):
    """Waits until nobody uses it: a process that was killed takes a moment to be gone."""
    for _ in range(100):
        try:
            return call("umount2", text(at), 0)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        time.sleep(0.05)
    return call("umount2", text(at), 0)


def private_mounts():
    """What this process and its children mount from now on is seen by nobody else."""
    call("unshare", CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    # A copy of what others have mounted would keep it in use after they have unmounted it.
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        there = [line.split()[:2] for line in mounts]
    for device, at in there:
        if device.startswith("/dev/loop"):
            call("umount2", text(at), MNT_DETACH)


def mortal(command):
    """The same command, killed when the thread that starts it ends. Not by a function between fork and
    exec: gRPC's threads and a fork of the whole process do not go together."""
    return ["setpriv", "--pdeathsig", "KILL", *command]


class Loop:
    """A loop device over a file, as long as it is open or mounted."""

    def __init__(self, path, sector=512, direct=False):
        flags = LO_AUTOCLEAR | (LO_DIRECT_IO if direct else 0)
        file = os.open(path, os.O_RDWR | (os.O_DIRECT if direct else 0))
        try:
            self.path, self.device = attach(file, sector, flags)
        finally:
            os.close(file)

    def close(self):
        os.close(self.device)


def attach(file, sector, flags):
    with open("/dev/loop-control", "rb") as control:
        # Others may be faster to take the free one.
        for _ in range(100):
            path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
            device = os.open(path, os.O_RDWR)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, LOOP_CONFIG.pack(file, sector, flags))
                return path, device
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
    raise OSError(errno.EBUSY, "no loop device stays free")


class Mounted:
    """An ext4 on a loop device over a file: `with Mounted(image, directory): ...`."""

    def __init__(self, image, directory, sector=512, direct=False):
        self.image, self.directory, self.sector, self.direct = image, directory, sector, direct

    def __enter__(self):
        os.makedirs(self.directory, exist_ok=True)
        loop = Loop(self.image, self.sector, self.direct)
        try:
            mount(loop.path, self.directory, "ext4", MS_NOATIME)
        finally:
            loop.close()
        return self.directory

    def __exit__(self, *_):
        unmount(self.directory)
