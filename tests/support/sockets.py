"""A real HTTP server on a loopback port, in this event loop, for whatever the sidecar calls."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import uvicorn

App = TypeVar("App", bound=Callable[..., Any])


@asynccontextmanager
async def served(make: Callable[[str], App]) -> AsyncIterator[App]:
    """Serve the ASGI application that ``make`` returns for its own base URL, until the end of the block."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        app = make(f"http://127.0.0.1:{listening.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", loop="asyncio"))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers a flag only
            await asyncio.sleep(0.005)
        try:
            yield app
        finally:
            server.should_exit = True
            await running
