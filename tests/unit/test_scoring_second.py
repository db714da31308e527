"""``nearest-recent-2`` and the trained detectors: known answers, the parts, equality with scikit-learn, storage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.biometrics import Floats, Kind, Sample, Template
from sidecar.evaluation.synthetic import probe_of, typist
from sidecar.features.keystroke import positions_kinds
from sidecar.scoring import CALIBRATED, DETECTORS
from sidecar.scoring.calibration import calibration_of, to_llr
from sidecar.scoring.calibrations import CALIBRATIONS
from sidecar.scoring.nearest_recent_2 import PART_NAMES, NearestRecent2, transform
from sidecar.scoring.trained import SEED, Trained, patterns
from sidecar.storage.arrays import pack_template, unpack_template

KEYS = 10
SECOND = NearestRecent2()
TRAINED = [each for each in DETECTORS.values() if isinstance(each, Trained)]
NAMES = pytest.mark.parametrize("detector", TRAINED, ids=lambda each: each.name)


def typed(seed: int, count: int, stream: int = 0) -> Floats:
    rng = np.random.default_rng([stream, seed])
    person = typist(seed)
    return np.stack([probe_of(person.login(rng, KEYS)).values for _ in range(count)])


def enrolled(rows: Floats, detector: NearestRecent2 | Trained = SECOND) -> Template:
    return detector.enroll([Sample(row, float(at)) for at, row in enumerate(rows)], positions_kinds(KEYS), "positions")


def test_known_answers() -> None:
    template = enrolled(typed(3, 20))
    probes = np.concatenate([typed(3, 2, stream=7), typed(4, 2, stream=7)])
    found = SECOND.distances(template, probes)
    assert found == pytest.approx([35.504795, 34.064912, 42.065895, 41.769254], abs=1e-5)
    llrs = [to_llr(float(d), features=30, samples=20, layout="positions", detector=SECOND.name) for d in found]
    assert llrs == pytest.approx([-3.630, -4.829, 4.061, 3.778], abs=0.001)


def test_parts_by_hand() -> None:
    """One hold column, three equal samples of 100 ms; a probe of 121 ms is sqrt(.121) - sqrt(.1) = .0316 away."""
    kinds = np.array([Kind.HOLD], dtype=np.uint8)
    template = SECOND.enroll([Sample(np.array([100.0]), float(i)) for i in range(3)], kinds, "positions")
    effective = (1 + 2 ** (-1 / 15) + 2 ** (-2 / 15)) ** 2 / (1 + 2 ** (-2 / 15) + 2 ** (-4 / 15))
    scale = 20 * 0.056 * np.sqrt(0.1) / (effective + 20)  # a usual spread is in proportion to the hold
    assert template.scale[0] == pytest.approx(scale, rel=1e-6)
    away = (np.sqrt(0.121) - np.sqrt(0.1)) / scale
    nearest, pattern, typical, rhythm, flat, pace = SECOND.parts(template, np.array([[121.0]]))[0]
    assert nearest == pytest.approx(np.log1p(away / 0.3), rel=2e-2)  # samples are kept in half precision
    assert typical == pytest.approx(2.0 - np.log1p(((np.log(np.sqrt(0.121)) + 1.2302) / 0.28) ** 2 / 3), rel=1e-4)
    assert pattern == 2.0  # one key has no proportions
    assert pace == 0.0  # nor a tempo
    assert rhythm == 0.0  # one key has no rhythm: all of it is the level
    assert flat == pytest.approx(np.log1p(7.0 / 0.1))


def test_a_slower_login_changes_the_rhythm_less_than_the_nearness() -> None:
    rows = typed(5, 30)
    template = enrolled(rows)
    usual = np.median(rows, axis=0)
    hold, step = usual[0::3], usual[1::3] + np.linspace(55, 65, KEYS)
    slower = np.stack([hold, step, step - hold], axis=-1).reshape(-1)
    mixed = np.random.default_rng(1).permutation(step)
    other = np.stack([hold, mixed, mixed - hold], axis=-1).reshape(-1)
    parts = dict(zip(PART_NAMES, SECOND.parts(template, np.stack([slower, other])).T, strict=True))
    assert parts["rhythm"][0] < parts["rhythm"][1]


def test_a_stored_template_scores_to_the_last_bit_as_a_fresh_one() -> None:
    template = enrolled(typed(6, 60))
    again = unpack_template(pack_template(template))
    probes = typed(7, 20)
    assert np.array_equal(SECOND.distances(template, probes), SECOND.distances(again, probes))
    assert len(pack_template(template)) < 4000
    assert template.recent.shape == (50, 30)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 50), st.integers(1, 40), st.floats(0.0, 0.6))
def test_parts_are_bounded_whatever_is_missing(seed: int, count: int, gone: float) -> None:
    rows, probes = typed(seed, count), typed(seed + 1, 5)
    rng = np.random.default_rng(seed)
    rows[rng.random(rows.shape) < gone] = np.nan
    rows[-1] = typed(seed, 1)[0]
    probes[:, 1:][rng.random(probes[:, 1:].shape) < gone] = np.nan
    found = SECOND.parts(enrolled(rows), probes)
    assert (found >= 0).all()
    assert (found <= [np.log1p(3.5 / 0.3), 2.0, 2.0, np.log1p(35.0), np.log1p(70.0), 0.98 * np.log(10)]).all()


def test_holding_keys_at_random_is_no_sign_of_a_person_who_does_not() -> None:
    """Unusual proportions of holds count for a login only as far as the person's own samples have them."""
    rows = typed(5, 30)
    template = enrolled(rows)
    rng = np.random.default_rng(1)
    random = np.repeat(np.median(rows, axis=0)[None], 50, axis=0)
    random[:, 0::3] = rng.uniform(40.0, 160.0, (50, KEYS))
    own = SECOND.parts(template, np.median(rows, axis=0)[None])[0, PART_NAMES.index("pattern")]
    assert (SECOND.parts(template, random)[:, PART_NAMES.index("pattern")] >= own - 0.02).all()


def test_few_samples_forgive_a_faster_login_and_many_do_not_look() -> None:
    rows = typed(5, 40)
    usual = np.median(rows, axis=0)
    tried = np.stack([usual * by for by in (0.8, 1.0, 1.25)])
    few, many = (SECOND.parts(enrolled(rows[:count]), tried)[:, PART_NAMES.index("pace")] for count in (6, 40))
    assert few[0] < few[1] < few[2]
    assert few[1] - few[0] > few[2] - few[1]  # slower counts less than faster
    assert (many == 0).all()


def test_without_up_downs_the_down_downs_count() -> None:
    kinds = np.array([Kind.HOLD, Kind.DOWN_DOWN] * 5, dtype=np.uint8)
    rows = typed(5, 20).reshape(20, KEYS, 3)[:, :5, :2].reshape(20, -1)
    template = SECOND.enroll([Sample(row, float(at)) for at, row in enumerate(rows)], kinds, "positions")
    usual = np.median(rows, axis=0)
    other = np.where(kinds == Kind.DOWN_DOWN, usual * np.tile([1.5, 0.7], 5), usual)
    parts = SECOND.contributions(template, other, [str(at) for at in range(10)])
    assert (
        sum(part.share for part in parts if part.kind is Kind.DOWN_DOWN) > 0.6
    )  # a fifth, if they counted as beside up-downs


@given(st.floats(0.02, 50.0))
@settings(deadline=None, max_examples=20)
def test_the_unit_of_pressure_does_not_matter(unit: float) -> None:
    kinds = np.array([Kind.HOLD] * 4 + [Kind.PRESSURE] * 4, dtype=np.uint8)
    rng = np.random.default_rng(2)
    rows = np.concatenate([rng.normal(100, 9, (15, 4)), rng.uniform(0.2, 0.6, (15, 4))], axis=1)
    factor = np.array([1.0] * 4 + [unit] * 4)
    one = SECOND.enroll([Sample(row, float(i)) for i, row in enumerate(rows)], kinds, "positions")
    two = SECOND.enroll([Sample(row * factor, float(i)) for i, row in enumerate(rows)], kinds, "positions")
    # half precision keeps logarithms to about .001, of distances of some 25
    assert SECOND.distances(two, (rows + 1) * factor) == pytest.approx(SECOND.distances(one, rows + 1), abs=0.05)
    assert SECOND.distances(two, rows * factor) == pytest.approx(SECOND.distances(one, rows), abs=0.05)
    if abs(np.log(unit)) > 1.0:  # what is tried in another unit than the samples is far away
        assert (SECOND.distances(one, rows * factor) > SECOND.distances(one, rows) + 1.0).all()


def test_transform_is_total() -> None:
    kinds = np.arange(5, dtype=np.uint8)
    moved = transform(np.array([[-5.0, -5.0, -5.0, -5.0, 0.0], [np.inf, np.nan, 1e300, 1e300, 1e300]]), kinds)
    assert np.isfinite(moved[0]).all()
    assert np.isnan(moved[1, :2]).all()
    assert np.isfinite(moved[1, 2:]).all()


def sklearn_scores(detector: Trained, rows: Floats, probes: Floats) -> Floats:
    """What the library says of the same rows, in the detector's own sense of direction and origin."""
    from sklearn.covariance import LedoitWolf
    from sklearn.ensemble import IsolationForest
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import LocalOutlierFactor
    from sklearn.neural_network import MLPRegressor
    from sklearn.svm import OneClassSVM

    if detector.name == "one-class-svm-1":
        fitted = OneClassSVM(nu=0.5, gamma=1.0 / rows.shape[1]).fit(rows)
        alike = (fitted.decision_function(probes) - fitted.intercept_[0]) / fitted.dual_coef_.sum()
        return np.sqrt(np.maximum(-np.log(alike), 0.0))
    if detector.name == "isolation-forest-1":
        return -np.asarray(IsolationForest(n_estimators=50, random_state=SEED).fit(rows).score_samples(probes))
    if detector.name == "local-outlier-factor-1":
        return -np.asarray(LocalOutlierFactor(n_neighbors=10, novelty=True).fit(rows).score_samples(probes))
    if detector.name == "ledoit-wolf-1":
        return np.sqrt(LedoitWolf().fit(rows).mahalanobis(probes) / rows.shape[1])
    if detector.name == "gaussian-mixture-1":
        fitted = GaussianMixture(
            n_components=2, covariance_type="diag", reg_covar=0.25, random_state=SEED, max_iter=300, tol=1e-2
        ).fit(rows)
        tops = np.log(fitted.weights_) - 0.5 * np.log(2 * np.pi * fitted.covariances_).sum(axis=1)
        return np.sqrt((np.logaddexp.reduce(tops) - fitted.score_samples(probes)) * 2 / rows.shape[1])
    model = MLPRegressor(hidden_layer_sizes=(16, 6, 16), activation="tanh", random_state=SEED, learning_rate_init=0.01)
    for _ in range(120):
        model.partial_fit(rows, rows)
    return np.asarray(((model.predict(probes) - probes) ** 2).mean(axis=1))


@NAMES
@pytest.mark.parametrize("count", [12, 50])
def test_plain_arrays_score_as_scikit_learn_does(detector: Trained, count: int) -> None:
    rng = np.random.default_rng(count)
    rows = rng.normal(0, 1.2, (count, 30))
    probes = np.concatenate([rows[:5], rng.normal(0, 1, (40, 30)), rng.normal(2, 3, (40, 30))])
    parts = detector.train(rows)
    assert detector.score(parts, probes) == pytest.approx(sklearn_scores(detector, rows, probes), rel=1e-9, abs=1e-9)


@NAMES
def test_a_trained_template_comes_back_from_its_bytes(detector: Trained) -> None:
    template = enrolled(typed(8, 25), detector)
    again = unpack_template(pack_template(template))
    probes = typed(9, 10)
    assert again.parts.keys() == template.parts.keys()
    assert np.array_equal(detector.distances(template, probes), detector.distances(again, probes))


def test_patterns_differ_and_repeat() -> None:
    found = patterns(12, 30)
    assert set(np.unique(found)) == {-1.0, 1.0}
    assert np.unique(found, axis=0).shape[0] == 12
    assert np.array_equal(found, patterns(12, 30))


@pytest.mark.parametrize("name", CALIBRATED)
def test_every_calibration_is_rising_and_says_where_it_comes_from(name: str) -> None:
    assert name in DETECTORS
    for layout, constants in CALIBRATIONS[name].items():
        features = constants.feature_range[1]
        found = [
            to_llr(distance, features=features, samples=10, layout=layout, detector=name)
            for distance in np.linspace(0, 60, 30)
        ]
        assert found == sorted(found)
        assert "repetitions 1-200 only" in constants.provenance


def test_a_detector_without_a_calibration_decides_nothing() -> None:
    with pytest.raises(ValueError, match="no calibration"):
        calibration_of("nobody", "positions")
