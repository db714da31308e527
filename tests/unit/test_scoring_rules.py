"""Updates, explanation, distinguishability: pure rules on scores and templates."""

import numpy as np
import pytest

from sidecar.domain.biometrics import Floats, Sample, Template
from sidecar.evaluation.synthetic import probe_of, typist
from sidecar.features.keystroke import positions_kinds, positions_labels
from sidecar.scoring import DETECTORS
from sidecar.scoring.distinguish import Concern, distinguishability, rate
from sidecar.scoring.explain import counterfactual, median_of
from sidecar.scoring.nearest_recent_2 import NearestRecent2
from sidecar.scoring.updates import PER_DAY, Learning, Movement, drifted, learn_below, learning, movement

KEYS = 9
SECOND = NearestRecent2()
OWN = [float(i) for i in range(20)]


def typed(seed: int, count: int, stream: int = 0) -> Floats:
    rng = np.random.default_rng([stream, seed])
    return np.stack([probe_of(typist(seed).login(rng, KEYS)).values for _ in range(count)])


def template(rows: Floats) -> Template:
    return SECOND.enroll([Sample(row, float(i)) for i, row in enumerate(rows)], positions_kinds(KEYS), "positions")


@pytest.mark.parametrize(
    ("score", "confirmed", "today", "found"),
    [
        (5.0, False, 0, Learning.LEARN),
        (18.5, False, 0, Learning.TOO_FAR),
        (18.5, True, 99, Learning.LEARN),
        (5.0, False, PER_DAY, Learning.ENOUGH_TODAY),
    ],
)
def test_what_is_learned(score: float, confirmed: bool, today: int, found: Learning) -> None:
    assert learning(score, OWN, confirmed=confirmed, learned_today=today) is found


def test_learning_is_stricter_than_accepting_and_unknown_is_no_permission() -> None:
    assert learn_below(OWN) < max(OWN)
    assert learning(0.0, OWN[:9], confirmed=False, learned_today=0) is Learning.TOO_FAR
    far = Movement(9.0, 0.95)
    assert learning(0.0, OWN, confirmed=False, learned_today=0, movement=far) is Learning.MOVED
    assert learning(0.0, OWN, confirmed=True, learned_today=0, movement=far) is Learning.LEARN
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not finite"):
            learning(bad, OWN, confirmed=True, learned_today=0)
    with pytest.raises(ValueError, match="no score"):
        learn_below([])


def test_a_pull_in_one_direction_is_told_from_noise() -> None:
    rows = typed(3, 90)
    other = np.median(typed(4, 30), axis=0)
    pulled = [rows[60:] + part * (other - rows[60:]) for part in (0.5, 1.0)]
    anchor = template(rows[:30])
    attacked = movement(anchor, template(pulled[0]), template(pulled[1]))
    quiet = movement(anchor, template(rows[30:60]), template(rows[60:]))
    assert attacked.steady > 0.9
    assert attacked.deviations > 3 * quiet.deviations
    assert not quiet.alarming
    with pytest.raises(ValueError, match="different"):
        movement(anchor, anchor, DETECTORS["scaled-manhattan"].enroll(
            [Sample(rows[0], 0.0)], positions_kinds(KEYS), "positions"))  # fmt: skip


def test_drift_of_scores_is_noticed_and_chance_is_not() -> None:
    rng = np.random.default_rng(6)
    calm = rng.normal(0, 1, 80)
    assert not drifted(calm[:40].tolist(), calm[40:].tolist()).shifted
    assert drifted(calm.tolist(), (rng.normal(1.5, 1, 30)).tolist()).shifted
    assert not drifted(calm.tolist(), (rng.normal(-1.5, 1, 30)).tolist()).shifted
    assert drifted([1.0] * 10, [1.0] * 10).probability == 0.5
    with pytest.raises(ValueError, match="too few"):
        drifted([1.0] * 7, [1.0] * 10)


def test_a_false_alarm_of_drift_is_as_rare_as_it_says() -> None:
    rng = np.random.default_rng(8)
    found = [
        drifted(rng.normal(size=40).tolist(), rng.normal(size=15).tolist(), level=0.05).shifted for _ in range(600)
    ]
    assert 0.02 < np.mean(found) < 0.08


@pytest.mark.parametrize("stranger", range(4, 12))
def test_a_counterfactual_really_passes_and_needs_every_part(stranger: int) -> None:
    rows = typed(3, 25)
    own, usual, labels = template(rows), np.median(rows, axis=0), positions_labels(KEYS)
    limit = float(np.quantile(SECOND.distances(own, typed(3, 30, stream=1)), 0.9))
    odd = typed(stranger, 1)[0]
    found = counterfactual(SECOND, own, odd, labels, usual=usual, below=limit)
    assert found is not None
    assert found.labels
    places = [labels.index(label) for label in found.labels]
    repaired = odd.copy()
    repaired[places] = usual[places]
    assert SECOND.distance(own, repaired) == found.distance < limit
    for place in places:
        without = repaired.copy()
        without[place] = odd[place]
        assert SECOND.distance(own, without) >= limit, labels[place]
    assert counterfactual(SECOND, own, usual, labels, usual=usual, below=limit) is None
    assert counterfactual(SECOND, own, odd, labels, usual=usual, below=-1.0) is None
    with pytest.raises(ValueError, match="same length"):
        counterfactual(SECOND, own, odd, labels[:-1], usual=usual, below=limit)


def test_the_median_skips_gaps() -> None:
    found = median_of([np.array([1.0, np.nan]), np.array([3.0, np.nan])])
    assert found[0] == 2.0
    assert np.isnan(found[1])
    with pytest.raises(ValueError, match="no sample"):
        median_of([])


def test_when_everybody_is_alike_the_signal_is_muted_instead_of_trusted() -> None:
    """All users the same: their real scores must raise the concern, not pass as confident numbers."""
    own = template(typed(3, 20))
    mine, theirs = (SECOND.distances(own, typed(3, 60, stream=stream)).tolist() for stream in (1, 2))
    found = distinguishability(mine, theirs, threshold=float(np.median(mine)))
    assert Concern.ALIKE in found.concerns
    assert found.muted
    strangers = np.concatenate([typed(seed, 3) for seed in range(10, 40)])
    fine = distinguishability(mine, SECOND.distances(own, strangers).tolist(), threshold=float(np.quantile(mine, 0.95)))
    assert fine.concerns == ()
    assert fine.false_accepts is not None
    assert fine.false_rejects is not None
    assert fine.false_accepts.low <= fine.false_accepts.value <= fine.false_accepts.high < 0.3


def test_constant_and_coarse_samples_are_noticed() -> None:
    kinds = positions_kinds(KEYS)
    rows = typed(3, 10)
    assert Concern.CONSTANT in distinguishability([], [], threshold=0, samples=[rows[0]] * 10, kinds=kinds).concerns
    coarse = list(np.round(rows / 16.7) * 16.7)
    assert Concern.COARSE_CLOCK in distinguishability([], [], threshold=0, samples=coarse, kinds=kinds).concerns
    fine = distinguishability([], [], threshold=0, samples=list(rows), kinds=kinds)
    assert fine.concerns == (Concern.TOO_LITTLE,)
    assert not fine.muted


def test_wilson_intervals() -> None:
    found = rate(0, 20)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(0.1611, abs=1e-3)
    with pytest.raises(ValueError, match="share"):
        rate(3, 2)
