"""Ports of the loopback that nobody else takes.

Asking the kernel for "any free port" and closing it again loses races: an outgoing connection, or another test process, may be
given that very number. So each test process claims a block of ports below the ephemeral range by locking a file for as long as it
lives, walks through its block, and still proves by a bind that the port is free at the moment it is given out.
"""
import fcntl
import os
import random
import socket
import tempfile

FIRST, BLOCK, BLOCKS = 10000, 200, 110


class _Block:
    def __init__(self):
        self.next, self.kept = 0, set()
        folder = os.path.join(tempfile.gettempdir(), "hinge-test-ports")
        os.makedirs(folder, mode=0o777, exist_ok=True)
        for number in random.sample(range(BLOCKS), BLOCKS):
            lock = open(os.path.join(folder, str(number)), "w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            self.lock, self.first = lock, FIRST + number * BLOCK
            return
        raise RuntimeError("no free block of ports left")

    def take(self):
        for _ in range(BLOCK):
            port = self.first + self.next
            self.next = (self.next + 1) % BLOCK
            if port not in self.kept and is_free(port):
                return port
        raise RuntimeError("no free port left in the block")


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            probe.listen(1)
        except OSError:
            return False
    return True


_block = None


def free_port(keep=False):
    """A TCP port free on every IPv4 loopback address; not given out again until the whole block was walked through, or ever (keep)."""
    global _block
    if _block is None:
        _block = _Block()
    port = _block.take()
    if keep:
        _block.kept.add(port)
    return port
