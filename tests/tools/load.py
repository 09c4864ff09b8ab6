"""A small closed-loop load generator: N keep-alive connections on an event loop of its own, every outcome counted by its kind.

    with Load(h.address, connections=8) as load:
        ...disturb the server...
    assert load.failures == {}

A connection that the server announces to close (`Connection: close`) is opened anew; one that it closes unannounced is a failure, as
is a refused connect, a reset, a short answer, and any status but the expected one.
"""
import asyncio
import collections
import threading

from .times import PATIENCE


class Load:
    def __init__(self, address, connections=8, request=None, status=200, keep_alive=True):
        self.address, self.connections, self.status = address, connections, status
        self.request = request or b"GET / HTTP/1.1\r\nHost: load\r\n%s\r\n" % (b"" if keep_alive else b"Connection: close\r\n")
        self.ok, self.failures = 0, collections.Counter()
        self._stop = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "a request of the load generator hangs"

    async def _run(self):
        await asyncio.gather(*(self._client() for _ in range(self.connections)))

    async def _client(self):
        while not self._stop:
            try:
                reader, writer = await asyncio.open_connection(*self.address)
            except OSError as e:
                self.failures["refused" if isinstance(e, ConnectionRefusedError) else type(e).__name__] += 1
                await asyncio.sleep(0.01)
                continue
            try:
                while not self._stop and await self._exchange(reader, writer):
                    pass
            except ConnectionResetError:
                self.failures["reset"] += 1
            except asyncio.IncompleteReadError as e:
                self.failures["short answer" if e.partial else "closed without an answer"] += 1
            except asyncio.TimeoutError:
                self.failures["no answer"] += 1
            except OSError as e:
                self.failures[type(e).__name__] += 1
            finally:
                writer.close()

    async def _exchange(self, reader, writer):
        """One request; false when the server said that it closes."""
        writer.write(self.request)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode("latin-1").lower()
        length = head.split("\r\ncontent-length:", 1)
        if len(length) == 2:
            await asyncio.wait_for(reader.readexactly(int(length[1].split("\r\n", 1)[0])), PATIENCE)
        if head.split(" ", 2)[1] == str(self.status):
            self.ok += 1
        else:
            self.failures[head.split("\r\n", 1)[0]] += 1
        return len(length) == 2 and "\r\nconnection: close" not in head
