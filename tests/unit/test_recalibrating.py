"""Scores put right by an installation's own logins: where it helps people it was not fitted to, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.administration.recalibrate import Found, decided, tallied, with_strangers
from sidecar.scoring.calibration import LIMIT
from sidecar.scoring.recalibrate import AS_SHIPPED, Correction, Tally, cost

MODEL = "nearest-recent-2"


def fit(people: int, middle: float, seed: int = 1) -> Found:
    draw = np.random.default_rng(seed)
    halves = [Tally(), Tally()]
    for number in range(people):
        own = np.clip(draw.normal(middle + draw.normal(0, 0.4), 1.6, 30), -LIMIT, LIMIT)
        assert tallied(halves[number % 2], own)
    return decided(with_strangers(halves, MODEL), people)


def test_people_who_all_score_too_high_are_moved_down_and_strangers_stay_above() -> None:
    found = fit(60, 0.3)
    assert found.chosen is not None
    assert found.before is not None
    assert found.after is not None
    assert found.after < found.before
    assert found.chosen.of(0.3) < 0.3
    assert found.chosen.of(4.0) > 1.5


def test_what_does_not_help_people_it_was_not_fitted_to_is_left_as_shipped() -> None:
    draw = np.random.default_rng(2)
    halves = [Tally(), Tally()]
    for number in range(60):  # two halves of opposite errors
        tallied(halves[number % 2], np.clip(draw.normal(-4.5 if number % 2 else 1.5, 1.0, 30), -LIMIT, LIMIT))
    found = decided(with_strangers(halves, MODEL), 60)
    assert (found.chosen, "not help" in found.why or "outside" in found.why) == (None, True)


@pytest.mark.parametrize("people", [0, 2, 19])
def test_few_people_change_nothing(people: int) -> None:
    found = fit(people, 0.3)
    assert (found.chosen, found.before) == (None, None)


def test_few_logins_in_one_half_change_nothing() -> None:
    halves = [Tally(), Tally()]
    for _ in range(25):
        tallied(halves[0], np.full(20, 0.3))
    assert decided(with_strangers(halves, MODEL), 25).chosen is None
    assert decided(with_strangers(halves, "a detector without figures"), 25).chosen is None


@given(st.floats(-2, 2), st.floats(0.5, 1.5), st.floats(-1, 1))
def test_a_threshold_goes_back_to_where_it_was(llr: float, scale: float, offset: float) -> None:
    line = Correction(scale, offset, 0, 0, 0.0, 0.0)
    assert line.of(line.before(llr)) == pytest.approx(llr, abs=1e-9)


def test_a_person_counts_with_twenty_scores_at_most_and_with_none_below_five() -> None:
    tally = Tally()
    assert not tallied(tally, np.zeros(4))
    assert not tallied(tally, np.full(9, np.nan))
    assert tally.own.sum() == 0
    assert tallied(tally, np.zeros(500))
    assert tally.own.sum() == 20
    with pytest.raises(ValueError, match="without a count"):
        cost(tally, AS_SHIPPED)
