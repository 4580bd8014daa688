#!/usr/bin/env python3
"""A small ext4 that loses power: killloop's --power. Needs root and a loop device.

    power_cut.py make|cut|again|drop DIR

`cut` is FS_IOC_SHUTDOWN without a flush of the journal: from then on nothing reaches the
device, what the page cache holds is lost at `again`, and syncs fail. The image lies beside
DIR, as DIR.image.
"""

import fcntl
import os
import struct
import subprocess
import sys
import time

# _IOR('X', 125, __u32), and the flag "do not write the journal out".
SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
SIZE = 512 << 20


def run(*command):
    subprocess.run(command, check=True)


def mount(image, directory):
    run("mount", "-o", "loop", image, directory)


def unmount(directory):
    for _ in range(50):
        if subprocess.run(["umount", directory], stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.1)
    run("umount", directory)


def main():
    what, directory = sys.argv[1], os.path.abspath(sys.argv[2])
    image = directory + ".image"
    if what == "make":
        with open(image, "wb") as file:
            file.truncate(SIZE)
        run("mkfs.ext4", "-q", "-m", "0", image)
        mount(image, directory)
        os.rmdir(os.path.join(directory, "lost+found"))
        run("sync", "-f", directory)
    elif what == "cut":
        at = os.open(directory, os.O_RDONLY)
        fcntl.ioctl(at, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(at)
    elif what == "again":
        unmount(directory)
        mount(image, directory)
    elif what == "drop":
        unmount(directory)
        os.unlink(image)
    else:
        sys.exit(f"power_cut.py: no such thing to do: {what}")


if __name__ == "__main__":
    main()
