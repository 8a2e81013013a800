"""TLS in front of an endpoint: a proxy on a loop of its own, which counts connections and may take its time."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

import trustme


@dataclass
class Tls:
    """What stands in front."""

    upstream: str
    delay: float = 0.0
    """Seconds by which whatever a client sends comes later."""
    refuses_heads: bool = False
    """Hang up on requests for headers only."""
    base_url: str = ""
    opened: int = 0
    """Connections over which a request came."""
    heads: list[bytes] = field(default_factory=list)
    """Requests for headers only."""
    open: int = 0
    """Connections that are open now."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand one connection on."""
        self.open += 1
        url = urlsplit(self.upstream)
        into = writer
        try:
            first = await reader.read(65_536)
            if not first:
                return
            self.opened += 1
            behind, into = await asyncio.open_connection(url.hostname, url.port)
            back = asyncio.create_task(self._pipe(behind, writer))
            try:
                await self._forward(first, reader, into)
            finally:
                back.cancel()
                await asyncio.wait([back])
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            for each in {writer, into}:
                each.transport.abort()

    async def _forward(self, data: bytes, reader: asyncio.StreamReader, into: asyncio.StreamWriter) -> None:
        while data:
            if data.startswith(b"HEAD "):
                self.heads.append(data)
                if self.refuses_heads:
                    return
            await asyncio.sleep(self.delay)
            into.write(data)
            data = await reader.read(65_536)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.transport.abort()


def certificates(folder: str) -> tuple[ssl.SSLContext, str]:
    """Make a context of a server for ``localhost``, and the file of those whom a client has to trust."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(f"{folder}/trusted.pem")
    return context, f"{folder}/trusted.pem"


@contextmanager
def tls(upstream: str, context: ssl.SSLContext) -> Iterator[Tls]:
    """Put TLS in front of an endpoint."""
    served, started = Tls(upstream), Future[Callable[[], object]]()

    async def main() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(served.serve, "localhost", 0, ssl=context)
        served.base_url = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
        started.set_result(partial(loop.call_soon_threadsafe, stop.set))
        await stop.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),))  # which cancels what is left
    thread.start()
    stop = started.result()
    yield served
    stop()
    thread.join()
