"""Signs of software and of replays: found where they are, not in people, slow or clumsy ones included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.biometrics import Floats
from sidecar.evaluation.synthetic import typist
from sidecar.features.liveness import Sign, copied, machine_signs, shared_text_signs, usual_of

KEYS = 11


def typed(seed: int, count: int = 1, stream: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng([stream, seed])
    logins = [typist(seed).login(rng, KEYS, enter=False) for _ in range(count)]
    holds = np.array([[hold for _, hold in rows] for rows in logins])
    steps = np.diff(np.array([[down for down, _ in rows] for rows in logins]), axis=1)
    return holds, steps


@pytest.mark.parametrize(
    ("hold", "step", "signs"),
    [
        (np.full(8, 80.0), np.full(7, 120.0), (Sign.TOO_REGULAR, Sign.QUANTISED)),
        (np.tile([80.0, 96.0], 4), np.linspace(90, 300, 7), (Sign.QUANTISED,)),
        (np.linspace(60, 120, 8), np.linspace(5, 30, 7), (Sign.IMPOSSIBLE_SPEED,)),
        (np.linspace(60, 120, 8), np.linspace(120, 124, 7), (Sign.TOO_REGULAR,)),
        (np.linspace(60, 120, 8), np.linspace(90, 300, 7), ()),
        (np.full(8, np.nan), np.full(7, np.nan), ()),
        (np.full(3, 80.0), np.full(2, 120.0), ()),
    ],
)
def test_signs_in_the_attempt_itself(hold: Floats, step: Floats, signs: tuple[Sign, ...]) -> None:
    assert machine_signs(hold, step) == signs


@given(st.integers(0, 400), st.floats(0.4, 6.0))
@settings(deadline=None)
def test_people_show_none_however_slow_they_are(seed: int, slower: float) -> None:
    hold, step = typed(seed)
    assert machine_signs(hold[0] * slower, step[0] * slower + 60.0 * (slower < 1)) == ()


@given(st.integers(0, 400), st.floats(100.0, 1000.0))
@settings(deadline=None)
def test_keys_that_are_all_held_long_are_no_sign(seed: int, longer: float) -> None:
    """So much longer for each key: its spread is a smaller share of the mean, and still a person's."""
    hold, step = typed(seed)
    assert machine_signs(hold[0] + longer, step[0]) == ()


def test_replays_are_found_and_people_do_not_repeat_themselves() -> None:
    hold, step = typed(5, 60)
    rng = np.random.default_rng(1)
    for i in range(10):
        assert copied(hold[i], step[i], hold, step)
        assert copied(hold[i] + rng.normal(0, 2, KEYS), step[i] + rng.normal(0, 2, KEYS - 1), hold, step)
        rest = np.arange(60) != i
        assert not copied(hold[i], step[i], hold[rest], step[rest])
    assert not copied(hold[0], step[0], hold[:0], step[:0])
    with pytest.raises(ValueError, match="do not fit"):
        copied(hold[0, :5], step[0], hold, step)


def test_a_copy_with_gaps_is_compared_where_both_have_timings() -> None:
    hold, step = typed(6, 3)
    gapped = hold[0].copy()
    gapped[:4] = np.nan
    assert copied(gapped, step[0], hold, step)
    assert not copied(np.full(KEYS, np.nan), np.full(KEYS - 1, np.nan), hold, step)


def shared() -> list[tuple[Floats, Floats]]:
    """Fifteen people and one text whose steps differ."""
    rhythm = np.exp(np.random.default_rng(3).normal(0, 0.6, KEYS - 1))
    return [(hold, step * rhythm) for hold, step in (typed(seed, 20) for seed in range(15))]


def test_typing_like_the_median_of_everybody_is_too_usual() -> None:
    people = shared()
    usual = usual_of(people)
    rng = np.random.default_rng(4)
    for sigma in (0.0, 0.05):
        hold = usual.hold * np.exp(sigma * rng.normal(size=KEYS))
        step = usual.down_down * np.exp(sigma * rng.normal(size=KEYS - 1))
        assert Sign.TOO_USUAL in shared_text_signs(hold, step, usual)
    own = [
        shared_text_signs(hold, step, usual) for holds, steps in people for hold, step in zip(holds, steps, strict=True)
    ]
    assert sum(map(bool, own)) <= 0.05 * len(own)  # synthetic people follow the text less than real ones do


def test_steps_against_the_grain_of_a_text_are_unrelated_to_it() -> None:
    usual = usual_of(shared())
    backwards = usual.down_down.mean() ** 2 / usual.down_down
    assert shared_text_signs(usual.hold * 1.4, backwards, usual) == (Sign.UNRELATED,)
    other = np.exp(np.log(usual.down_down[::-1]) * 0.5 + 2.0)  # neither along nor against, but far from what is usual
    assert Sign.UNRELATED not in shared_text_signs(usual.hold * 1.4, other * 3.0, usual)
    with pytest.raises(ValueError, match="another text"):
        shared_text_signs(usual.hold[:-1], backwards, usual)


def test_a_text_with_hard_steps_is_not_typed_without_any() -> None:
    """Steps drawn alike for all places are found though they happen to rise a little where the text is hard."""
    usual = usual_of(shared())
    rng = np.random.default_rng(6)
    flat = 170.0 * np.exp(rng.normal(0, 0.05, KEYS - 1))
    assert Sign.UNRELATED in shared_text_signs(usual.hold * 1.4, flat, usual)
    hesitant = flat.copy()
    hesitant[int(np.argmax(usual.down_down))] = 900.0  # a person who stops once, where the text is hard
    assert Sign.UNRELATED not in shared_text_signs(usual.hold * 1.4, hesitant, usual)
    same = usual_of([(np.full((3, KEYS), 90.0), np.full((3, KEYS - 1), 170.0))])
    assert Sign.UNRELATED not in shared_text_signs(usual.hold, flat, same)  # a text without hard steps asks for none


def test_nobody_has_no_usual_timings() -> None:
    with pytest.raises(ValueError, match="nobody"):
        usual_of([])
