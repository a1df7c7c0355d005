"""Turns the power off under a mounted file system, when told to on standard input.

A line is `FLAGS DIRECTORY SEED PROCESS`. First some ranges of the directory's log files are sent to the disk,
as a kernel that is short of memory would, so that pages arrive there in no order. Then the process is stopped,
as everything stops at once when the power goes; a system call it is in goes on, but it never sees the end of
it. Then the file system is shut down (FS_IOC_SHUTDOWN): from then on nothing reaches the disk.

Why stop: ext4 lets a sync that is under way during the shutdown succeed although it turns unwritten extents
into written ones in memory only. A loop of `pwrite` and `fdatasync` on allocated space shows it at one cut in
seventy. No machine can report that after its power is gone.
"""

import fcntl
import os
import random
import signal
import struct
import sys
import time

FS_IOC_SHUTDOWN = 0x8004587D


def send_some_pages(directory, seed):
    choice = random.Random(seed)
    for name in sorted(os.listdir(directory)):
        if not name.startswith(("log.", "spare.log")) or choice.random() < 0.5:
            continue
        try:
            file = os.open(os.path.join(directory, name), os.O_RDONLY)
        except FileNotFoundError:  # purged or renamed just now
            continue
        pages = os.fstat(file).st_size // 4096 + 1
        for _ in range(choice.randrange(1, 4)):
            # Dirty pages of the range are written, and not waited for.
            os.posix_fadvise(file, choice.randrange(pages) * 4096, 4096, os.POSIX_FADV_DONTNEED)
        os.close(file)


def stop(process):
    """Returns when no thread of the process can reach its own code again."""
    os.kill(process, signal.SIGSTOP)
    tasks = f"/proc/{process}/task"
    running = set(os.listdir(tasks))
    deadline = time.monotonic() + 5
    while running:
        for task in list(running):
            with open(f"{tasks}/{task}/stat") as stat:
                # Whoever is not running has the signal before it, and whatever it waits for.
                if stat.read().rpartition(")")[2].split()[0] != "R":
                    running.discard(task)
        if time.monotonic() > deadline:
            sys.exit(f"process {process} does not stop")


for line in sys.stdin:
    flags, directory, seed, process = line.rstrip("\n").split(" ")
    mounted = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    send_some_pages(directory, int(seed))
    stop(int(process))
    fcntl.ioctl(mounted, FS_IOC_SHUTDOWN, struct.pack("I", int(flags)))
    os.close(mounted)
    print("off", flush=True)
