"""An HTTPS server for tests: HTTP/2 by h2, or only HTTP/1.1. What it answers is a coroutine of the peer."""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import h2.config
import h2.connection
import h2.events

from tests.processes import free_port


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    ends: bool = True  # else there is always more to come, and it never does; HTTP/2 only


class Reset(Exception):
    """Raised by a handler: end this stream without an answer; in HTTP/1.1 the connection."""

    def __init__(self, code: int = 2) -> None:  # INTERNAL_ERROR (RFC 9113, 7)
        self.code = code


class Drop(Exception):
    """Raised by a handler: cut the connection, whatever else is on it."""


Handler = Callable[[Request], Awaitable[Answer]]


async def hang() -> Answer:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


class Server:
    """Use as `with Server(...) as server`. The handler runs in the server's own thread, one task per request."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext, http2: bool = True) -> None:
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.connections = 0
        self._handler = handler
        self._tls = tls
        self._tls.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "Server":
        self._thread = threading.Thread(target=self._run, name="peer")
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda loop, context: None)  # cut connections are what it is here for
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=self._tls, backlog=200)
        self._started.set()
        await self._end.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        spoken = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        try:
            await (HTTP2(self, reader, writer).run() if spoken == "h2" else self._http1(reader, writer))
        except (OSError, asyncio.IncompleteReadError, Drop, Reset):
            pass
        finally:
            writer.transport.abort()

    async def _http1(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            answer = await self._handler(Request(method, path, headers, body))
            told = {"content-length": str(len(answer.body)), **answer.headers}
            head = [f"HTTP/1.1 {answer.status} x", *(f"{name}: {value}" for name, value in told.items()), "", ""]
            writer.write("\r\n".join(head).encode() + answer.body)
            await writer.drain()


class HTTP2:
    """One HTTP/2 connection."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._reader, self._writer = server, reader, writer
        self._state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._streams: dict[int, tuple[dict[str, str], bytearray]] = {}

    async def run(self) -> None:
        self._state.initiate_connection()
        self._flush()
        while data := await self._reader.read(65536):
            for event in self._state.receive_data(data):
                self._take(event)
            self._flush()

    def _take(self, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._streams[event.stream_id] = dict(event.headers), bytearray()  # type: ignore[arg-type]
        elif isinstance(event, h2.events.DataReceived):
            self._streams[event.stream_id][1].extend(event.data)
            self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            headers, body = self._streams.pop(event.stream_id)
            request = Request(headers[":method"], headers[":path"], headers, bytes(body))
            task = asyncio.create_task(self._answer(event.stream_id, request))
            self._server._tasks.add(task)
            task.add_done_callback(self._server._tasks.discard)

    async def _answer(self, stream: int, request: Request) -> None:
        try:
            answer = await self._server._handler(request)
        except Reset as reset:
            self._state.reset_stream(stream, reset.code)
        except Drop:
            self._writer.transport.abort()
            return
        else:
            headers = [(":status", str(answer.status)), *answer.headers.items()]
            self._state.send_headers(stream, headers, end_stream=answer.ends and not answer.body)
            if answer.body:
                self._state.send_data(stream, answer.body, end_stream=answer.ends)
        self._flush()

    def _flush(self) -> None:
        self._writer.write(self._state.data_to_send())
