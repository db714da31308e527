"""The documented feature vector: known answers, and what shifting, scaling, gaps, order and a coarse clock do to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.biometrics import Floats
from sidecar.features.vector import SUMMARIES, Feature, Group, catalogue, summaries, vector

KEYS = 8
Typed = tuple[Floats, Floats]
SHAPES = st.tuples(st.integers(0, 10_000), st.integers(2, 14), st.booleans())


def typed(seed: int, keys: int = KEYS, enter: bool = True, rows: int = 1) -> Typed:
    rng = np.random.default_rng(seed)
    steps = keys if enter else keys - 1
    return rng.uniform(40, 200, (rows, keys)), rng.uniform(50, 900, (rows, steps))


def named(values: Floats, features: tuple[Feature, ...]) -> dict[str, float]:
    return dict(zip([each.name for each in features], values.tolist(), strict=True))


def test_known_answers() -> None:
    hold, step = np.array([100.0, 120.0, 80.0, 100.0]), np.array([200.0, 100.0, 900.0])
    found = named(vector(hold, step), catalogue(4, 3))
    assert found["hold 3"] == 80
    assert found["down-down 3-4"] == 900
    assert found["up-down 2-3"] == -20
    assert found["digraph 1-2"] == 320  # 200 to the second press, which is held for 120
    assert found["trigraph 1-3"] == 380
    assert found["trigraph step 2-4"] == 1000
    assert found["duration"] == 1200
    assert found["keys per second"] == 2.5
    assert found["median step"] == 200
    assert found["hold share"] == 0.25
    assert found["hold variation"] == pytest.approx(0.1)
    assert found["pauses"] == 1
    assert found["pause share"] == 0.75
    assert found["longest step"] == 4.5
    assert found["rollover share"] == pytest.approx(1 / 3)
    assert found["mean overlap"] == 20
    assert found["pairwise variability"] == pytest.approx((100 + 800) / (150 + 500))


@pytest.mark.parametrize(("keys", "steps"), [(1, 0), (1, 1), (2, 1), (2, 2), (10, 9), (10, 10)])
def test_every_number_has_a_name_a_unit_and_a_source(keys: int, steps: int) -> None:
    features = catalogue(keys, steps)
    assert vector(np.full(keys, 90.0), np.full(steps, 150.0)).shape == (len(features),)
    assert len({each.name for each in features}) == len(features)
    assert {each.unit for each in features} <= {"ms", "1/s", "ratio", "count"}
    assert all(each.source for each in features)
    if keys == 10:
        assert {each.group for each in features} == set(Group)
        assert features[:10][0].name == "hold 1"
    assert ("down-down 10-enter" in {each.name for each in features}) == (steps == 10)


@settings(deadline=None)
@given(SHAPES, st.floats(-1e6, 1e6))
def test_when_it_was_typed_does_not_matter(shape: tuple[int, int, bool], start: float) -> None:
    """Shift: the vector sees differences of times alone, whatever the clock's origin was."""
    hold, step = typed(*shape)
    down = np.concatenate([[0.0], np.cumsum(step[0])])
    moved = np.diff(down + start)
    assert vector(hold[0], moved) == pytest.approx(vector(hold[0], step[0]), rel=1e-6, abs=1e-6, nan_ok=True)


@settings(deadline=None)
@given(SHAPES, st.floats(0.2, 5.0))
def test_scale_moves_times_and_leaves_ratios(shape: tuple[int, int, bool], factor: float) -> None:
    hold, step = typed(*shape)
    plain, scaled = vector(hold[0], step[0]), vector(hold[0] * factor, step[0] * factor)
    powers = {"ms": 1, "1/s": -1, "ratio": 0}
    for feature, one, two in zip(catalogue(hold.shape[1], step.shape[1]), plain, scaled, strict=True):
        if feature.name not in ("pauses", "pause share"):  # a pause is also so many milliseconds long
            assert two == pytest.approx(one * factor ** powers[feature.unit], rel=1e-9, abs=1e-9, nan_ok=True), feature


@settings(deadline=None)
@given(st.integers(0, 1000), st.permutations(range(6)))
def test_each_repetition_is_seen_alone_whatever_their_order(seed: int, order: list[int]) -> None:
    hold, step = typed(seed, rows=6)
    hold[1, 2] = np.nan
    whole = vector(hold, step)
    assert np.array_equal(vector(hold[order], step[order]), whole[order], equal_nan=True)
    assert np.array_equal(vector(hold[3], step[3]), whole[3], equal_nan=True)


GAPPED = st.lists(st.floats(-1e5, 1e5) | st.sampled_from([np.nan, np.inf, -np.inf]), min_size=9, max_size=9)


@given(GAPPED)
@settings(deadline=None, max_examples=200)
def test_any_numbers_give_a_vector_without_infinities(values: list[float]) -> None:
    hold, step = np.array(values[:5]), np.array(values[5:])
    before = hold.copy(), step.copy()
    with np.errstate(all="raise", under="ignore"):
        found = vector(hold, step)
    assert not np.isinf(found).any()
    assert np.array_equal(hold, before[0], equal_nan=True)
    assert np.array_equal(step, before[1], equal_nan=True)


def test_a_missing_release_leaves_the_rest_as_it_was() -> None:
    hold, step = (part[0] for part in typed(4))
    plain, gapped = named(vector(hold, step), catalogue(KEYS, KEYS)), hold.copy()
    gapped[2] = np.nan
    found = named(vector(gapped, step), catalogue(KEYS, KEYS))
    lost = {name for name, value in found.items() if np.isnan(value)}
    assert lost == {"hold 3", "up-down 3-4", "digraph 2-3", "trigraph 1-3"}
    for name in ("duration", "keys per second", "median step", "pairwise variability", "alternation", "pauses"):
        assert found[name] == plain[name]


def test_nothing_is_claimed_of_too_few_timings() -> None:
    found = named(summaries(np.array([90.0, np.nan, 80.0]), np.array([np.nan, 120.0])), SUMMARIES)
    for name in ("duration", "median step", "median hold", "hold variation", "pauses", "alternation"):
        assert np.isnan(found[name])
    nothing = summaries(np.full((2, 5), np.nan), np.full((2, 5), np.nan))
    assert np.isnan(nothing).all()


def clocked(hold: Floats, step: Floats, quantum: float, phase: float) -> Typed:
    """What a clock of this step shows: presses and releases cut down to whole steps."""
    down = np.concatenate([np.zeros((len(step), 1)), np.cumsum(step, axis=1)], axis=1) + phase
    up = down[:, : hold.shape[1]] + hold
    down, up = (np.floor(part / quantum) * quantum for part in (down, up))
    return up - down[:, : hold.shape[1]], np.diff(down, axis=1)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 500), st.floats(0, 16.6))
def test_a_clock_of_a_sixtieth_of_a_second_moves_every_number_by_little(seed: int, phase: float) -> None:
    """Firefox with resistFingerprinting: 16.7 ms. A timing is off by a step at most, and n-graphs are too."""
    quantum = 1000.0 / 60.0
    hold, step = typed(seed, keys=12, rows=1)
    coarse = vector(*clocked(hold, step, quantum, phase), quantum=quantum)[0]
    true = vector(hold, step, quantum=0.0)[0]
    for feature, one, two in zip(catalogue(12, 12), true, coarse, strict=True):
        if feature.group in (Group.HOLD, Group.DOWN_DOWN, Group.UP_DOWN, Group.DIGRAPH, Group.TRIGRAPH):
            assert abs(one - two) <= 2 * quantum + 1e-6, feature
        elif feature.name in ("duration", "median step", "median hold"):
            assert abs(one - two) <= quantum + 1e-6, feature
        elif feature.unit in ("ratio", "1/s") and feature.group in (Group.SPEED, Group.CADENCE):
            assert abs(one - two) <= 0.15, feature


def test_keys_that_only_seem_to_overlap_do_not_count_under_a_coarse_clock() -> None:
    quantum = 1000.0 / 60.0
    hold = np.full(10, 5 * quantum)
    step = np.full(10, 5 * quantum)
    step[3] = 4 * quantum  # released a step after the next press: it may be the clock's doing
    at = [each.name for each in SUMMARIES].index("rollover share")
    assert summaries(hold, step)[at] == 0.1
    assert summaries(hold, step, quantum=quantum)[at] == 0.0


def test_what_does_not_fit_is_refused() -> None:
    for keys, steps in ((3, 1), (0, 0), (2, 3)):
        with pytest.raises(ValueError, match="not of one text"):
            vector(np.ones(keys), np.ones(steps))
    with pytest.raises(ValueError, match="step must be"):
        vector(np.ones(3), np.ones(2), quantum=-1.0)
