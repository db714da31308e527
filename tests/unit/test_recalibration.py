"""Scores put right by an installation's own logins: where it helps people it was not fitted to, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.biometrics import Floats
from sidecar.scoring.calibration import LIMIT
from sidecar.scoring.recalibration import AS_SHIPPED, BINS, SLOPES, Fitted, Recalibration, counted, fitted
from sidecar.scoring.strangers import usual_strangers

STRANGERS = usual_strangers("nearest-recent-2")


def installation(people: int, middle: float, seed: int = 1) -> tuple[list[Floats], list[int]]:
    draw = np.random.default_rng(seed)
    halves, counts = [np.zeros(BINS), np.zeros(BINS)], [0, 0]
    for number in range(people):
        own = np.clip(draw.normal(middle + draw.normal(0, 0.4), 1.6, 30), -LIMIT, LIMIT)
        shares = counted(own)
        assert shares is not None
        halves[number % 2] += shares
        counts[number % 2] += 1
    return halves, counts


def fit(people: int, middle: float, seed: int = 1) -> Fitted:
    return fitted(*installation(people, middle, seed), STRANGERS, at=5.0)


def test_people_who_score_as_shipped_expects_change_nothing() -> None:
    """The middle at which the shipped line is about the best one: as in the data it was fitted to."""
    found = fit(200, -3.0)
    assert found.before is not None
    assert found.after is not None
    if found.chosen is not None:
        assert found.after < found.before - 0.005


def test_people_who_all_score_too_high_are_moved_down_and_strangers_stay_above() -> None:
    found = fit(60, 0.3)
    assert found.chosen is not None
    assert found.chosen.people == 60
    assert found.after is not None
    assert found.before is not None
    assert found.after < found.before
    assert found.chosen.llr(0.3) < 0.3
    assert found.chosen.llr(4.0) > 1.5


@pytest.mark.parametrize("people", [0, 2, 19])
def test_few_people_change_nothing(people: int) -> None:
    assert fit(people, 0.3) == Fitted(None, people, None, None)


def test_twenty_people_move_it_less_than_two_hundred() -> None:
    few, many = fit(20, 0.3), fit(200, 0.3)
    assert many.chosen is not None
    moved = 0.0 if few.chosen is None else abs(few.chosen.llr(0.0))
    assert moved < abs(many.chosen.llr(0.0))


@given(st.integers(20, 60), st.floats(-6, 6), st.integers(0, 50))
def test_it_is_bounded_and_keeps_the_order(people: int, middle: float, seed: int) -> None:
    chosen = fit(people, middle, seed).chosen or AS_SHIPPED
    assert SLOPES[0] <= chosen.slope <= SLOPES[1]
    assert abs(chosen.shift) <= 1.0
    assert chosen.llr(-1.0) <= chosen.llr(1.0)
    assert abs(chosen.llr(99.0)) <= LIMIT


@given(st.floats(-2, 2), st.floats(0.5, 1.5), st.floats(-1, 1))
def test_a_threshold_goes_back_to_where_it_was(llr: float, slope: float, shift: float) -> None:
    line = Recalibration(slope, shift)
    assert line.llr(line.raw(llr)) == pytest.approx(llr, abs=1e-9)


def test_a_person_of_few_scores_is_not_counted_and_all_weigh_the_same() -> None:
    assert counted(np.zeros(4)) is None
    assert counted(np.array([np.nan] * 9)) is None
    for size in (5, 500):
        shares = counted(np.linspace(-9, 9, size))
        assert shares is not None
        assert shares.sum() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="two halves"):
        fitted([np.zeros(BINS)], [1], STRANGERS, 0.0)
