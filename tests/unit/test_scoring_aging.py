"""What few samples of one sitting are worth later, its fit, and the file of constants that anybody can make again."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.evaluation import fit_aging, metrics
from sidecar.evaluation.fit_aging import Trial, moved
from sidecar.evaluation.fit_halves import halves_of
from sidecar.evaluation.keystroke import halves
from sidecar.evaluation.keystroke.play import spread_evenly
from sidecar.scoring.calibration import LIMIT, Circumstances, aged, before_aging, calibration_of, to_llr

SHIPPED = calibration_of("nearest-recent-2", "positions")
LLRS = st.floats(-LIMIT, LIMIT)


def later(llr: float, samples: int, age: float, sittings: int = 1) -> float:
    return aged(SHIPPED, llr, samples=samples, when=Circumstances(sittings, age))


@settings(deadline=None)
@given(LLRS, st.integers(1, 400), st.floats(0, 4000))
def test_enough_samples_or_sittings_are_taken_for_what_they_say(llr: float, samples: int, age: float) -> None:
    assert later(llr, samples, age, sittings=2) == llr
    assert later(llr, max(samples, 30), age) == llr
    assert -LIMIT <= later(llr, samples, age) <= LIMIT


@settings(deadline=None)
@given(LLRS, LLRS, st.integers(1, 40), st.floats(0, 4000))
def test_a_nearer_attempt_is_never_worse(one: float, two: float, samples: int, age: float) -> None:
    low, high = sorted((one, two))
    assert later(low, samples, age) <= later(high, samples, age)


@settings(deadline=None)
@given(st.integers(1, 29), st.floats(0, 1000), st.floats(0.1, 1000))
def test_the_fewer_and_older_the_samples_the_less_a_mismatch_says(samples: int, age: float, more: float) -> None:
    assert later(3.0, samples, age + more) < later(3.0, samples, age) <= later(3.0, samples, 0.0) == 3.0
    assert later(3.0, samples + 1, age) >= later(3.0, samples, age)


def test_known_answer_and_the_way_through_to_llr() -> None:
    few, late = np.log(30 / 5), np.log(4)
    shift, shift_late, loss = SHIPPED.aging
    assert later(2.0, 5, 3) == pytest.approx(2.0 * np.exp(-loss * late * few) + (shift + shift_late * late) * few)
    plain = to_llr(33.0, features=30, samples=5, layout="positions", detector="nearest-recent-2")
    when = Circumstances(1, 3.0)
    found = to_llr(33.0, features=30, samples=5, layout="positions", detector="nearest-recent-2", when=when)
    assert found == pytest.approx(later(plain, 5, 3.0))
    first = to_llr(2.0, features=30, samples=5, layout="positions", detector="nearest-recent-1")
    same = to_llr(2.0, features=30, samples=5, layout="positions", detector="nearest-recent-1", when=when)
    assert same == first  # nothing was fitted for it


@settings(deadline=None)
@given(st.floats(-3, 3), st.integers(3, 60), st.floats(0, 400), st.integers(1, 2))
def test_what_aging_did_can_be_taken_back(llr: float, samples: int, age: float, sittings: int) -> None:
    when = Circumstances(sittings, age)
    before = before_aging(SHIPPED, llr, samples, when)
    if abs(before) < LIMIT:
        assert aged(SHIPPED, before, samples=samples, when=when) == pytest.approx(llr)


@pytest.mark.parametrize(("sittings", "age"), [(0, 1.0), (1, -1.0), (1, float("nan"))])
def test_refusals(sittings: int, age: float) -> None:
    with pytest.raises(ValueError, match="sittings must be"):
        aged(SHIPPED, 1.0, samples=5, when=Circumstances(sittings, age))


@settings(deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=200), st.integers(1, 300))
def test_an_age_does_not_tell_who_it_is(own: list[int], count: int) -> None:
    """Impostor attempts get the ages of the own ones in the same shares, to within a few attempts."""
    ages = np.array(own, dtype=np.float64)
    found = spread_evenly(ages, count)
    assert found.size == count
    for age in np.unique(ages):
        assert abs((found == age).sum() - count * (ages == age).mean()) < 5


def generated(shift: float, samples: int = 5) -> list[Trial]:
    rng = np.random.default_rng(7)
    few = np.log(30 / samples)
    moves = [(user, age, shift * few * np.log1p(age)) for user in range(6) for age in (0, 1, 3)]
    return [
        Trial("made", user, samples, age, rng.normal(-2 - move, 2, 120), rng.normal(2 - move, 2, 120))
        for user, age, move in moves
    ]


def test_the_fit_finds_the_shift_that_was_put_in_and_repairs_the_calibration() -> None:
    trials = generated(-0.8)
    constants = fit_aging.fit(trials)
    assert constants[0] == 0.0
    assert constants[1] == pytest.approx(-0.8, abs=0.15)
    genuine, impostor = (np.concatenate([getattr(t, name) for t in trials]) for name in ("genuine", "impostor"))
    after = [
        np.concatenate([moved(np.array(constants), each, getattr(each, name)) for each in trials])
        for name in ("genuine", "impostor")
    ]
    assert metrics.cllr(after[0], after[1]) < metrics.cllr(genuine, impostor)
    assert set(fit_aging.fitted(trials)) == {"all", "even", "odd", "Cllr and ECE out of half"}


def test_the_committed_halves_are_what_the_fits_make_of_their_own_numbers() -> None:
    """The file's numbers put back into the shape in which the fits print them give the file again, names and all."""
    committed = json.loads(halves.FILE.read_text())
    text, touch = committed
    parts = {half: {k: committed[text][half][k] for k in ("form", "calibrations")} for half in ("even", "odd")}
    aging = {half: parts[half]["calibrations"]["positions"]["aging"] for half in parts}
    fit = {"digest": text, "touch digest": touch, **parts}
    assert halves_of(fit, aging) == committed
    plain = halves_of(fit, None)[text]["even"]["calibrations"]["positions"]
    assert "aging" not in plain
