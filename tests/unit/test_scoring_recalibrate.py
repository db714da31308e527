"""Recalibration: counts that can be stopped and joined, corrections that few counts hardly move, and bounds."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.scoring.recalibrate import Tally, correction

LLRS = st.lists(st.tuples(st.floats(-6, 6), st.booleans()), max_size=60)


def tally(count: int, scale: float = 1.0, offset: float = 0.0, seed: int = 1) -> Tally:
    """True LLRs (normal, variance twice the mean: such LLRs are their own log-likelihood ratios), said wrongly."""
    rng = np.random.default_rng(seed)
    found = Tally()
    for own, mean in ((True, -2.0), (False, 2.0)):
        for true in rng.normal(mean, 2.0, count):
            found.add(float((true - offset) / scale), own=own)
    return found


def same(one: Tally, two: Tally) -> bool:
    return one.plain() == two.plain()


@settings(deadline=None)
@given(LLRS, st.integers(0, 60))
def test_a_job_that_stops_and_goes_on_counts_the_same(decisions: list[tuple[float, bool]], stop: int) -> None:
    whole, first = Tally(), Tally()
    for llr, own in decisions:
        whole.add(llr, own=own)
    for llr, own in decisions[:stop]:
        first.add(llr, own=own)
    again = Tally.of(json.loads(json.dumps(first.plain())))
    for llr, own in decisions[stop:]:
        again.add(llr, own=own)
    assert same(again, whole)
    assert whole.own.sum() + whole.strange.sum() == len(decisions)


def test_tallies_join_in_any_order_and_keep_the_later_mark() -> None:
    one, two = tally(30, seed=1), tally(40, seed=2)
    one.seen, two.seen = {"a": "7", "b": "1"}, {"a": "9"}
    assert same(one.merged(two), two.merged(one))
    assert one.merged(two).seen == {"a": "9", "b": "1"}


def test_what_is_calibrated_stays_as_it_is() -> None:
    found = correction(tally(4000))
    assert found is not None
    assert found.scale == pytest.approx(1.0, abs=0.08)
    assert found.offset == pytest.approx(0.0, abs=0.12)
    assert found.cllr_after <= found.cllr_before + 1e-9


@pytest.mark.parametrize(("scale", "offset"), [(0.6, 0.0), (1.3, 0.0), (1.0, -0.9), (0.7, 0.8)])
def test_what_is_said_wrongly_is_put_right(scale: float, offset: float) -> None:
    found = correction(tally(20_000, scale, offset))
    assert found is not None
    assert found.scale == pytest.approx(scale, abs=0.1)
    assert found.offset == pytest.approx(offset, abs=0.15)
    assert found.cllr_after < found.cllr_before
    said = [found.of(llr) for llr in np.linspace(-6, 6, 30)]
    assert said == sorted(said)
    assert max(map(abs, said)) <= 6.0


def test_few_decisions_move_it_less_than_many() -> None:
    few, many = correction(tally(200, 0.6, -0.8)), correction(tally(20_000, 0.6, -0.8))
    assert few is not None
    assert many is not None
    assert abs(few.scale - 1.0) < abs(many.scale - 1.0)
    assert abs(few.offset) < abs(many.offset)
    assert correction(tally(199)) is None


def test_a_fit_out_of_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="outside what a recalibration may do"):
        correction(tally(50_000, 1.0, -3.5))


@pytest.mark.parametrize(
    "plain",
    [{}, {"version": 2}, {"version": 1, "own": [1], "strange": [], "seen": {}}, {**Tally().plain(), "own": [-1] * 48}],
)
def test_what_is_no_tally_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="tally"):
        Tally.of(plain)
    with pytest.raises(ValueError, match="not finite"):
        Tally().add(float("nan"), own=True)
