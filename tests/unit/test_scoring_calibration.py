"""Calibration at the sizes logins have: 6, 10, 16 characters and 3, 10, 30 samples."""

import math
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.biometrics import Layout
from sidecar.scoring import calibration
from sidecar.scoring.calibration import LIMIT, combine, confidence, distance_at, to_llr
from sidecar.scoring.calibrations import CALIBRATIONS

FEATURES = (18, 30, 48)
SAMPLES = (3, 10, 30)
SIZES = list(product(FEATURES, SAMPLES))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(1, 3000)
LAYOUTS = st.sampled_from(["positions", "summary"])


FIRST = "nearest-recent-1"


def llr(distance: float, features: int, samples: int, layout: Layout = "positions", detector: str = FIRST) -> float:
    return to_llr(distance, features=features, samples=samples, layout=layout, detector=detector)


@pytest.mark.parametrize(("features", "samples"), SIZES)
def test_the_genuine_range_is_negative_and_the_far_range_positive(features: int, samples: int) -> None:
    assert llr(0.9, features, samples) < -1.5
    assert llr(2.4, features, samples) > 1.5
    neutral = distance_at(0.0, features=features, samples=samples, layout="positions", detector=FIRST)
    assert 1.2 < neutral < 1.9
    assert llr(neutral, features, samples) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("features", "samples"), SIZES)
def test_rises_strictly_over_the_distances_that_occur(features: int, samples: int) -> None:
    values = [llr(step / 100, features, samples) for step in range(301)]
    assert all(later > earlier for earlier, later in pairwise(values))
    assert max(abs(later - earlier) for earlier, later in pairwise(values)) < 0.12


def steepness(features: int, samples: int, layout: Layout = "positions") -> float:
    at = distance_at(0.0, features=features, samples=samples, layout=layout, detector=FIRST)
    return llr(at + 0.01, features, samples, layout) - llr(at - 0.01, features, samples, layout)


@pytest.mark.parametrize("layout", ["positions", "summary"])
def test_more_evidence_is_never_less_steep(layout: Layout) -> None:
    for counts in (range(1, 60), range(60, 400, 20)):
        for fewer, more in pairwise(counts):
            for fixed in (3, 10, 30):
                assert steepness(more, fixed, layout) >= steepness(fewer, fixed, layout) - 1e-12
                assert steepness(30, more, layout) >= steepness(30, fewer, layout) - 1e-12


def test_known_answers() -> None:
    assert llr(1.663, 30, 10) == pytest.approx(0.892, abs=0.002)
    assert distance_at(0.9, features=30, samples=10, layout="positions", detector=FIRST) == pytest.approx(
        1.664, abs=0.001
    )
    assert llr(1.0, 30, 10) == pytest.approx(-4.098, abs=0.01)
    assert llr(1.0, 21, 10, "summary") == pytest.approx(-2.265, abs=0.01)


@given(FLOATS, FLOATS, COUNTS, COUNTS, LAYOUTS)
def test_finite_bounded_and_monotone_everywhere(
    one: float, two: float, features: int, samples: int, layout: Layout
) -> None:
    low, high = sorted((llr(one, features, samples, layout), llr(two, features, samples, layout)))
    assert -LIMIT <= low <= high <= LIMIT
    assert llr(min(one, two), features, samples, layout) == low


@given(st.floats(-5.9, 5.9), st.integers(4, 60), st.integers(1, 250), LAYOUTS)
def test_inverse(value: float, features: int, samples: int, layout: Layout) -> None:
    distance = distance_at(value, features=features, samples=samples, layout=layout, detector=FIRST)
    assert llr(distance, features, samples, layout) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_refusals(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        llr(value, 30, 10)
    with pytest.raises(ValueError, match="finite"):
        combine([0.0, value])
    for features, samples in ((0, 10), (30, 0)):
        with pytest.raises(ValueError, match="1 or more"):
            llr(1.0, features, samples)
        with pytest.raises(ValueError, match="1 or more"):
            confidence(features, samples)
    with pytest.raises(ValueError, match="limits"):
        distance_at(LIMIT, features=30, samples=10, layout="positions", detector=FIRST)
    with pytest.raises(ValueError, match="no LLR"):
        combine([])


@given(COUNTS, COUNTS)
def test_confidence_grows_with_evidence_and_stays_inside(features: int, samples: int) -> None:
    here = confidence(features, samples)
    assert 0.0 < here < 1.0
    assert confidence(features + 1, samples) > here
    assert confidence(features, samples + 1) > here


def test_confidence_known_answer() -> None:
    assert confidence(30, 10) == pytest.approx(0.690, abs=0.001)


def test_combining() -> None:
    assert combine([1.25]) == 1.25
    assert combine([0.0, 0.0]) == 0.0
    assert combine([1.0, 1.0]) == pytest.approx(2 / 1.439, abs=1e-3)
    assert 1.0 < combine([1.0, 1.0]) < combine([1.0, 1.0, 1.0]) < 3.0
    assert combine([2.0, -2.0]) == pytest.approx(0.0)


@given(st.lists(st.floats(-6, 6), min_size=1, max_size=4), st.integers(0, 3), st.floats(0, 3))
def test_combining_is_symmetric_bounded_and_monotone(llrs: list[float], index: int, more: float) -> None:
    assert combine(llrs) == combine(llrs[::-1])
    assert -LIMIT <= combine(llrs) <= LIMIT
    raised = llrs.copy()
    raised[index % len(llrs)] += more
    assert combine(raised) >= combine(llrs) - 1e-12


def test_constants_say_where_they_come_from() -> None:
    for each in (
        *(each for found in CALIBRATIONS.values() for each in found.values()),
        calibration.COMBINATION,
        calibration.EVIDENCE,
    ):
        for part in ("51 subjects", "repetitions 1-200 only", "sidecar.evaluation.fit_"):
            assert part in each.provenance
