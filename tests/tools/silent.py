"""An address that does not answer: a listener whose queue is full leaves whoever connects waiting."""
import contextlib
import socket
import time

from .ports import free_port


@contextlib.contextmanager
def silent(address="127.0.0.1", port=None):
    """Gives HOST:PORT."""
    port = port or free_port()
    with contextlib.ExitStack() as open_ones:
        open_ones.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(4):
            s = open_ones.enter_context(socket.socket())
            s.setblocking(False)
            s.connect_ex((address, port))
        time.sleep(0.1)
        yield f"{address}:{port}"
