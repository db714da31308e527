"""What differs as a whole: told in words, only where it is unusual for this person, and never from too little."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.biometrics import Floats
from sidecar.features.overall import SHOWN, differences

KEYS = 10


def typed(count: int, seed: int = 1) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    hold = 95.0 * np.exp(rng.normal(0, 0.1, (count, KEYS)))
    usual = np.linspace(120.0, 320.0, KEYS)
    return hold, usual * np.exp(rng.normal(0, 0.12, (count, KEYS)))


EARLIER = typed(20)


def told(hold: Floats, step: Floats) -> list[str]:
    return [each.sentence() for each in differences(hold, step, *EARLIER)]


def test_a_usual_login_has_nothing_to_tell() -> None:
    hold, step = typed(50, seed=2)
    silent = [not told(*pair) for pair in zip(hold, step, strict=True)]
    assert np.mean(silent) > 0.9


def test_what_is_unusual_is_said_in_words() -> None:
    hold, step = (part[0] for part in typed(1, seed=3))
    assert told(hold, step * 2)[0].startswith("typed more slowly than usual (2.")
    assert any(words.startswith("typed faster") for words in told(hold, step * 0.5))
    assert any(words.startswith("keys held longer than usual (1") for words in told(hold * 2, step + 95))
    paused = step.copy()
    paused[4] = 3000.0
    assert {"a longer pause than usual", "more pauses than usual"} & set(told(hold, paused))
    even = np.full(KEYS, float(np.median(step)))
    assert any("even rhythm" in words for words in told(hold, even))
    overlapping = np.full(KEYS, 60.0)
    assert any(words.startswith("more keys overlap than usual (100%, usually 0%)") for words in told(hold, overlapping))


@given(st.integers(0, 200), st.floats(0, 0.9))
@settings(deadline=None, max_examples=50)
def test_gaps_are_no_difference(seed: int, gone: float) -> None:
    rng = np.random.default_rng(seed)
    hold, step = (part[0].copy() for part in typed(1, seed=4))
    plain = {each.name for each in differences(hold, step, *EARLIER)}
    hold[rng.random(KEYS) < gone] = np.nan
    found = differences(hold, step, *EARLIER)
    assert len(found) <= SHOWN
    assert {each.name for each in found} - plain <= {"median hold", "hold variation", "rollover share"}


def test_nothing_is_usual_yet() -> None:
    hold, step = (part[0] for part in typed(1, seed=3))
    assert differences(hold * 3, step * 3, EARLIER[0][:4], EARLIER[1][:4]) == ()
    with pytest.raises(ValueError, match="another text"):
        differences(hold[:-1], step[:-1], *EARLIER)
