"""Shared by all tests: asyncio as the one backend of asynchronous tests, and worlds that clean up after themselves."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from support.postgres import Server, binaries, server
from support.world import World


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser tests last: Playwright keeps this thread's event loop for itself until the end."""
    items.sort(key=lambda item: "e2e" in item.path.parts)


Worlds = Callable[..., "object"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def worlds(tmp_path: Path) -> AsyncIterator[Callable[..., object]]:
    """Start worlds with settings of their own: ``await worlds(deadline_ms=200)``."""
    async with AsyncExitStack() as stack:

        async def start(**extra: object) -> World:
            return await stack.enter_async_context(World.running(tmp_path, **extra))

        yield start


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A running sidecar over HTTP with two identity providers and a clock that tests move."""
    async with World.running(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL of the tests' own, without fsync."""
    if binaries() is None:
        pytest.skip("no PostgreSQL here: install the Debian package postgresql")
    with server() as started:
        yield started


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Server) -> str:
    """A database for stores that keep to a schema of their own."""
    return postgres_server.database("conformance")
