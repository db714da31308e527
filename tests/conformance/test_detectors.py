"""Every detector against every promise of the contract."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.biometrics import Floats, Layout, Sample, Template
from sidecar.features.keystroke import positions_kinds, positions_labels, summary_kinds, summary_labels
from sidecar.scoring import DETECTORS, SHIPPED
from sidecar.scoring.contract import OneClassDetector, comparable

EACH = pytest.mark.parametrize("detector", DETECTORS.values(), ids=list(DETECTORS))
LAYOUTS = pytest.mark.parametrize("layout", ["positions", "summary"])
CHARACTERS = 7


def parts(layout: Layout) -> tuple[np.ndarray, tuple[str, ...]]:
    if layout == "summary":
        return summary_kinds(), summary_labels()
    return positions_kinds(CHARACTERS), positions_labels(CHARACTERS)


def rows(n: int, layout: Layout = "positions", seed: int = 5) -> Floats:
    kinds, _ = parts(layout)
    rng = np.random.default_rng(seed)
    usual = np.array([90.0, 180.0, 90.0])[kinds]
    return usual * np.exp(rng.normal(0, 0.15, (n, kinds.size)))


def samples(values: Floats, start: float = 1e9) -> list[Sample]:
    return [Sample(row, start + i) for i, row in enumerate(values)]


def enrolled(
    detector: OneClassDetector, n: int = 12, layout: Layout = "positions", change: Callable[[Floats], Floats] = np.copy
) -> Template:
    return detector.enroll(samples(change(rows(n, layout))), parts(layout)[0], layout)


def equal(one: Template, two: Template) -> bool:
    arrays = ("center", "scale", "recent", "kinds")
    same = all(np.array_equal(getattr(one, a), getattr(two, a), equal_nan=True) for a in arrays)
    same = same and one.parts.keys() == two.parts.keys()
    same = same and all(np.array_equal(one.parts[name], two.parts[name]) for name in one.parts)
    return same and (one.detector, one.layout, one.samples) == (two.detector, two.layout, two.samples)


def with_gaps(values: Floats) -> Floats:
    gapped = values.copy()
    gapped[np.random.default_rng(3).random(values.shape) < 0.2] = np.nan
    return gapped


def test_the_table_names_what_it_holds() -> None:
    assert {"nearest-recent-1", "nearest-recent-2", "scaled-manhattan"} <= set(DETECTORS)
    assert SHIPPED in DETECTORS
    assert all(name == each.name for name, each in DETECTORS.items())


@EACH
@LAYOUTS
@pytest.mark.parametrize("n", [1, 2, 3, 10, 29, 30, 31, 200, 230])
def test_any_number_of_samples_gives_a_sound_template(detector: OneClassDetector, layout: Layout, n: int) -> None:
    template = enrolled(detector, n, layout)
    d = parts(layout)[0].size
    assert template.center.shape == template.scale.shape == template.kinds.shape == (d,)
    assert template.recent.ndim == 2
    assert template.recent.shape[1] == d
    assert template.samples == min(n, 200)
    assert (template.detector, template.layout) == (detector.name, layout)
    assert np.isfinite(template.center).all()
    assert (template.scale > 0).all()
    assert np.isfinite(detector.distances(template, rows(5, layout, seed=9))).all()


@EACH
def test_enrolment_and_distance_are_deterministic_and_leave_inputs_alone(detector: OneClassDetector) -> None:
    values, point = rows(12), rows(1, seed=2)[0]
    before = values.copy(), point.copy()
    one, two = enrolled(detector), enrolled(detector)
    assert equal(one, two)
    assert detector.distance(one, point) == detector.distance(two, point)
    detector.contributions(one, point, positions_labels(CHARACTERS))
    assert np.array_equal(before[0], values)
    assert np.array_equal(before[1], point)


@EACH
def test_given_order_does_not_matter_and_the_time_axis_may_shift(detector: OneClassDetector) -> None:
    ordered = samples(rows(40))
    shuffled = [ordered[i] for i in np.random.default_rng(1).permutation(40)]
    kinds = parts("positions")[0]
    base = detector.enroll(ordered, kinds, "positions")
    assert equal(base, detector.enroll(shuffled, kinds, "positions"))
    assert equal(base, detector.enroll(samples(rows(40), start=5.0), kinds, "positions"))
    tied = [Sample(each.values, 7.0) for each in ordered]
    assert equal(detector.enroll(tied, kinds, "positions"), detector.enroll(tied[::-1], kinds, "positions"))


@EACH
def test_only_the_newest_200_matter(detector: OneClassDetector) -> None:
    values = rows(230)
    values[:30] *= 5.0
    kinds = parts("positions")[0]
    whole = detector.enroll(samples(values), kinds, "positions")
    assert equal(whole, detector.enroll(samples(values[30:]), kinds, "positions"))


@EACH
def test_permuting_features_permutes_everything_and_keeps_the_distance(detector: OneClassDetector) -> None:
    kinds, labels = parts("positions")
    values, point = with_gaps(rows(12)), rows(1, seed=2)[0]
    order = np.random.default_rng(4).permutation(kinds.size)
    plain = detector.enroll(samples(values), kinds, "positions")
    moved = detector.enroll(samples(values[:, order]), kinds[order], "positions")
    assert detector.distance(moved, point[order]) == pytest.approx(detector.distance(plain, point), rel=1e-12)
    one = {c.label: c for c in detector.contributions(plain, point, labels)}
    two = {c.label: c for c in detector.contributions(moved, point[order], [labels[i] for i in order])}
    assert one.keys() == two.keys()
    assert all(one[label].share == pytest.approx(two[label].share) for label in one)


# Beyond all samples nothing may bring closer. A local density and a small network have slight dips there, by nature; of
# their whole rise. A forest may not look at a feature at all.
WAVERS = {"local-outlier-factor-1": 0.03, "autoencoder-1": 0.02}
BLIND = {"isolation-forest-1": 0.1}  # share of features that may not count


@EACH
@LAYOUTS
@pytest.mark.parametrize("seed", [5, 6, 7])
def test_a_feature_that_moves_away_never_brings_closer(detector: OneClassDetector, layout: Layout, seed: int) -> None:
    values = rows(12, layout, seed)
    template = detector.enroll(samples(values), parts(layout)[0], layout)
    point = np.median(values, axis=0)
    start = detector.distance(template, point)
    falls, rises = [], []
    for feature in range(point.size):
        moved = np.tile(point, (40, 1))
        moved[:, feature] = np.max(values[:, feature]) + np.linspace(0, 3000, 40)
        distances = detector.distances(template, moved)
        falls.append(np.maximum(-np.diff(distances), 0.0).sum())
        rises.append(distances[-1] - start)
    assert max(falls) <= WAVERS.get(detector.name, 0.0) * np.mean(rises) + 1e-9
    assert np.mean(np.array(rises) > 0) >= 1.0 - BLIND.get(detector.name, 0.0)


@EACH
def test_a_stranger_is_farther_than_the_person(detector: OneClassDetector) -> None:
    template = enrolled(detector, 15)
    own = detector.distances(template, rows(40, seed=11))
    stranger = rows(40, seed=12) * np.random.default_rng(8).uniform(0.4, 2.2, rows(1).shape[1])
    assert np.quantile(own, 0.9) < np.quantile(detector.distances(template, stranger), 0.1)


@EACH
def test_missing_timings_are_left_out(detector: OneClassDetector) -> None:
    template = enrolled(detector, change=with_gaps)
    labels = positions_labels(CHARACTERS)
    point = rows(1, seed=2)[0]
    point[4], point[5] = np.nan, np.inf
    assert comparable(template, point) == point.size - 2
    assert np.isfinite(detector.distance(template, point))
    shown = {each.label for each in detector.contributions(template, point, labels)}
    assert shown == set(labels) - {labels[4], labels[5]}
    never = rows(6)
    never[:, -2:] = np.nan
    short = detector.enroll(samples(never), parts("positions")[0], "positions")
    assert comparable(short, rows(1)[0]) == never.shape[1] - 2
    one, two = rows(1, seed=2)[0], rows(1, seed=2)[0]
    one[-1] = 1e6
    assert detector.distance(short, one) == detector.distance(short, two)


OWN_PLACE = {"isolation-forest-1": 0.02}  # its cuts fall between the jittered rows where they like


@EACH
def test_constant_samples_still_make_a_distance(detector: OneClassDetector) -> None:
    point = rows(1)[0]
    template = detector.enroll(samples(np.tile(point, (10, 1))), parts("positions")[0], "positions")
    own = detector.distance(template, point)
    assert np.isfinite(own)
    assert own < detector.distance(template, point + 20.0)
    aside = point + 20.0 * np.concatenate([np.eye(point.size), -np.eye(point.size)])
    assert (detector.distances(template, aside) >= own * (1.0 - OWN_PLACE.get(detector.name, 1e-9))).all()
    if detector.name in ("nearest-recent-1", "scaled-manhattan"):  # the others count from elsewhere
        assert own == pytest.approx(0.0, abs=1e-9)
    labels = positions_labels(CHARACTERS)
    assert sum(each.share for each in detector.contributions(template, point, labels)) in (0.0, pytest.approx(1.0))


@EACH
def test_contributions_add_up_and_point_the_right_way(detector: OneClassDetector) -> None:
    template = enrolled(detector)
    point = np.median(rows(12), axis=0)
    point[3], point[6] = 400.0, 10.0
    found = detector.contributions(template, point, positions_labels(CHARACTERS))
    assert sum(each.share for each in found) == pytest.approx(1.0)
    by_label = {each.label: each for each in found}
    largest = sorted(found, key=lambda each: -each.share)[:2]
    assert {each.label for each in largest} == {"hold 2", "hold 3"}
    assert by_label["hold 2"].deviation > 0 > by_label["hold 3"].deviation


REFUSED: list[tuple[str, Sequence[Sample], np.ndarray]] = [
    ("no sample", [], positions_kinds(CHARACTERS)),
    ("no sample", samples(np.full((3, 21), np.nan)), positions_kinds(CHARACTERS)),
    ("does not fit", samples(rows(3)), positions_kinds(4)),
    ("does not fit", samples(rows(3)[:, :, None]), positions_kinds(CHARACTERS)),
    ("kinds need", samples(rows(3)), np.empty(0, dtype=np.uint8)),
    ("kind is not", samples(rows(3)), np.full(21, 7, dtype=np.uint8)),
    ("not finite", [Sample(rows(1)[0], float("nan"))], positions_kinds(CHARACTERS)),
]


@EACH
@pytest.mark.parametrize(("text", "given_samples", "kinds"), REFUSED)
def test_what_cannot_be_enrolled_is_refused(
    detector: OneClassDetector, text: str, given_samples: Sequence[Sample], kinds: np.ndarray
) -> None:
    with pytest.raises(ValueError, match=text):
        detector.enroll(given_samples, kinds, "positions")


@EACH
def test_what_cannot_be_compared_is_refused(detector: OneClassDetector) -> None:
    template = enrolled(detector)
    labels = positions_labels(CHARACTERS)
    with pytest.raises(ValueError, match="does not fit"):
        detector.distance(template, np.ones(5))
    with pytest.raises(ValueError, match="no feature"):
        detector.distance(template, np.full(21, np.nan))
    with pytest.raises(ValueError, match="no feature"):
        detector.contributions(template, np.full(21, np.nan), labels)
    with pytest.raises(ValueError, match="labels"):
        detector.contributions(template, rows(1)[0], labels[:-1])
    other = Template("someone-else", "positions", *(getattr(template, a) for a in ("center", "scale", "recent")),
                     template.kinds, template.samples)  # fmt: skip
    with pytest.raises(ValueError, match="someone-else"):
        detector.distance(other, rows(1)[0])


NUMBERS = st.floats(-1e7, 1e7) | st.just(float("nan"))


@EACH
@given(st.lists(st.lists(NUMBERS, min_size=6, max_size=6), min_size=2, max_size=6))
@settings(deadline=None)
def test_whatever_is_comparable_has_a_finite_distance(detector: OneClassDetector, values: list[list[float]]) -> None:
    *history, point = (np.array(row) for row in values)
    kinds = positions_kinds(2)
    if not np.isfinite(np.stack(history)).any():
        return
    template = detector.enroll(samples(np.stack(history)), kinds, "positions")
    if comparable(template, point) == 0:
        with pytest.raises(ValueError, match="no feature"):
            detector.distance(template, point)
        return
    distance = detector.distance(template, point)
    assert np.isfinite(distance)
    assert distance >= 0.0
