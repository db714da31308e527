"""Each test of this directory runs on every store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.stores import STORES, Store


@pytest.fixture(params=list(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path, request) as one:
        yield one
