"""Fixtures of the unit tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import provider


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Runs a scenario against a fresh demo provider; keyword arguments change the client's settings."""

    def run(scenario: provider.Scenario, **client: Any) -> None:
        provider.play(tmp_path, scenario, **client)

    return run
