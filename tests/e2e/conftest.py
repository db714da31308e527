"""Fixtures of the browser tests."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.stage import Demo, RunningDemo, Visitor

from sidecar.rehearsal.browser import CHROMIUM, chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name what is missing instead of failing in a hundred places."""
    missing = None if any(shutil.which(name) for name in CHROMIUM) else "no Chromium (apt install chromium)"
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.browser)
            if missing:
                item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def demo(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with RunningDemo(browser, tmp_path_factory.mktemp("demo")) as made:
        yield made


@pytest.fixture
def own_demo(browser: Any, tmp_path: Path) -> Iterator[Demo]:
    """A demo of the test's own, whose parts it may break."""
    with RunningDemo(browser, tmp_path) as made:
        yield made


@pytest.fixture
def visitor(demo: Demo) -> Iterator[Visitor]:
    made = demo.visitor()
    yield made
    made.context.close()


@pytest.fixture
def open_visitor(demo: Demo) -> Iterator[Callable[..., Visitor]]:
    made: list[Visitor] = []

    def open_(**context: Any) -> Visitor:
        made.append(demo.visitor(**context))
        return made[-1]

    yield open_
    for item in made:
        item.context.close()
