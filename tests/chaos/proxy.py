"""A TCP proxy before a store that can be told to misbehave."""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

_HOST = "127.0.0.1"
_CHUNK = 65_536
_SLOW_CHUNK, _SLOW_SECONDS = 256, 0.02
_UNAVAILABLE = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 93\r\nConnection: close\r\n\r\n"
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"
)


class Mode(enum.StrEnum):
    """How the proxy treats connections, those that are open included."""

    PASS = "pass"
    REFUSE = "refuse"  # nobody listens
    STALL = "stall"  # connections are accepted, and nothing comes back
    RESET = "reset"  # answers break off in the middle, with a reset
    CUT = "cut"  # … with an orderly end of the connection
    UNAVAILABLE = "503"  # every request is answered with 503 Slow Down
    SLOW = "slow"  # answers trickle


class FaultProxy:
    """Forwards connections to a port of this machine, in a thread of its own."""

    def __init__(self, upstream_port: int) -> None:
        """Nothing is opened yet."""
        self._upstream = upstream_port
        self._mode = Mode.PASS
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def mode(self) -> Mode:
        return self._mode

    def switch(self, mode: Mode) -> None:
        """Misbehave in another way, or behave, from when this returns."""
        self._call(self._switch(mode))

    def _call(self, action: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(10)

    # -- in the loop -------------------------------------------------------------------------------------------------
    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, _HOST, self.port, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            _reset(writer)

    async def _switch(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.REFUSE:
            await self._unlisten()
        elif self._server is None:
            await self._listen()
        self._changed.set()
        self._changed = asyncio.Event()

    async def _close(self) -> None:
        await self._unlisten()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._forward(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store_reader, store_writer = await asyncio.open_connection(_HOST, self._upstream)
        self._writers |= {writer, store_writer}
        ways = [
            asyncio.create_task(_pump(reader, store_writer, lambda data: self._request(data, writer))),
            asyncio.create_task(_pump(store_reader, writer, lambda data: self._answer(data, writer))),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers -= {writer, store_writer}
            store_writer.transport.abort()

    async def _request(self, data: bytes, client: asyncio.StreamWriter) -> bytes:
        """What of a request goes on to the store; none ends the connection."""
        await self._while_stalled()
        if self._mode is not Mode.UNAVAILABLE:
            return data
        client.write(_UNAVAILABLE)
        await client.drain()
        client.write_eof()
        return b""

    async def _answer(self, data: bytes, client: asyncio.StreamWriter) -> bytes:
        """What of an answer goes on to the client; none ends the connection."""
        await self._while_stalled()
        if self._mode in (Mode.RESET, Mode.CUT):
            client.write(data[: len(data) // 2])
            await client.drain()
            if self._mode is Mode.RESET:
                _reset(client)
            return b""
        while self._mode is Mode.SLOW and len(data) > _SLOW_CHUNK:
            client.write(data[:_SLOW_CHUNK])
            data = data[_SLOW_CHUNK:]
            await client.drain()
            await asyncio.sleep(_SLOW_SECONDS)
        return data

    async def _while_stalled(self) -> None:
        while self._mode is Mode.STALL:
            await self._changed.wait()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spoil: Callable[[bytes], Awaitable[bytes]]
) -> None:
    while (data := await reader.read(_CHUNK)) and (data := await spoil(data)):
        writer.write(data)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other end sees a reset."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
