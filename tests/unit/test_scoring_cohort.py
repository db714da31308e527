"""Backgrounds from an installation's own people: useful, harmless when few, rebuilt without whoever is forgotten."""

import numpy as np
import pytest

from sidecar.domain.biometrics import Floats, Sample
from sidecar.evaluation import metrics
from sidecar.evaluation.synthetic import probe_of, typist
from sidecar.features.keystroke import interleave, positions_kinds
from sidecar.features.liveness import usual_of
from sidecar.risk.shared import SharedText
from sidecar.scoring.calibration import to_llr
from sidecar.scoring.cohort import FEWEST_MEMBERS, Background, joined, learn
from sidecar.scoring.nearest_recent_2 import NearestRecent2

KEYS = 8
KINDS = positions_kinds(KEYS)


def typed(seed: int, count: int, stream: int = 0) -> Floats:
    rng = np.random.default_rng([stream, seed])
    return np.stack([probe_of(typist(seed).login(rng, KEYS)).values for _ in range(count)])


def learned(members: range) -> Background:
    found = learn([typed(seed, 40) for seed in members], KINDS)
    assert found is not None
    return found


def scores(background: Background, user: int, stream: int = 5) -> tuple[Floats, Floats]:
    samples = [Sample(row, float(at)) for at, row in enumerate(typed(user, 12))]
    template = background.detector.enroll(samples, KINDS, "positions")
    strangers = np.concatenate([typed(seed, 2, stream) for seed in range(60, 70)])
    return background.llr(template, typed(user, 20, stream)), background.llr(template, strangers)


def test_a_background_tells_people_apart_that_it_never_saw() -> None:
    background = learned(range(20))
    pairs = [scores(background, user) for user in range(40, 50)]
    genuine, impostor = (np.concatenate(part) for part in zip(*pairs, strict=True))
    assert metrics.equal_error_rate(genuine, impostor) < 0.05
    assert metrics.cllr(genuine, impostor) < 0.3


def hasty(seed: int, count: int, stream: int = 0) -> Floats:
    """Typing whose tempo differs from login to login more than people do: something to be learned from others."""
    rows = typed(seed, count, stream)
    tempo = np.exp(np.random.default_rng([9, stream, seed]).normal(0, 0.5, (count, 1)))
    return interleave(rows[:, 0::3], rows[:, 1::3] * tempo)


def test_a_background_adds_what_a_persons_own_samples_do_not_tell() -> None:
    background = learn([hasty(seed, 40) for seed in range(20)], KINDS)
    assert background is not None
    strangers = np.concatenate([hasty(seed, 2, 5) for seed in range(60, 70)])
    pairs = {"alone": ([], []), "background": ([], [])}  # type: dict[str, tuple[list[Floats], list[Floats]]]
    for user in range(40, 50):
        samples = [Sample(row, float(at)) for at, row in enumerate(hasty(user, 12))]
        template = background.detector.enroll(samples, KINDS, "positions")
        for place, tried in enumerate((hasty(user, 20, 5), strangers)):
            pairs["alone"][place].append(background.detector.distances(template, tried))
            pairs["background"][place].append(background.llr(template, tried))
    rates = {name: metrics.equal_error_rate(*(np.concatenate(each) for each in pair)) for name, pair in pairs.items()}
    assert rates["alone"] > 0.03
    assert rates["background"] < rates["alone"] / 2


def test_too_few_members_give_no_background() -> None:
    assert learn([typed(seed, 40) for seed in range(2)], KINDS) is None
    assert learn([typed(seed, 40) for seed in range(FEWEST_MEMBERS - 1)], KINDS) is None
    assert learn([typed(seed, 5) for seed in range(20)], KINDS) is None
    assert learn([typed(seed, 40) for seed in range(FEWEST_MEMBERS)], KINDS) is not None


def test_few_members_hardly_move_the_strict_score() -> None:
    assert joined(2.0, -2.0, 0) == 2.0
    assert joined(2.0, -2.0, 2) > 1.0
    assert joined(2.0, -2.0, 10) == 0.0
    assert joined(2.0, -2.0, 1000) == pytest.approx(-2.0, abs=0.05)


def test_others_tries_are_scored_as_their_logins_would_be() -> None:
    """A member's tries: with strict score and background, and nobody who tries in the background."""
    people = [typed(seed, 40) for seed in range(10)]
    background = learn(people, KINDS)
    assert background is not None
    text = SharedText(
        tuple(f"m{seed}" for seed in range(10)), background, usual_of([(np.ones((2, KEYS)), np.ones((2, KEYS)))])
    )
    template = background.detector.enroll(
        [Sample(row, float(at)) for at, row in enumerate(people[0])], KINDS, "positions"
    )
    shipped = NearestRecent2()
    found = text.others("m0", template, shipped)
    assert found is not None
    assert found.shape == (9 * 10,)
    chosen = np.arange(10) > 0
    words = background.tried(template, background.strangers(template), chosen)
    assert np.isnan(words[0]).all()
    strict = to_llr(
        shipped.distance(template, background.tries[1, 0]),
        features=KINDS.size, samples=40, layout="positions", detector=shipped.name,
    )  # fmt: skip
    assert found[0] == pytest.approx(min(strict, joined(strict, float(np.clip(words[1, 0], -6, 6)), 10)))
    alone = learn([rows for number, rows in enumerate(people) if number not in (0, 1)], KINDS)
    assert alone is not None  # a background that never saw them ranks their tries as this one does without them
    again = alone.llr(template, background.tries[1])
    assert np.corrcoef(again, words[1])[0, 1] > 0.5


def test_a_field_that_never_ends_with_enter_has_strangers_all_the_same() -> None:
    people = [typed(seed, 40) for seed in range(10)]
    for rows in people:
        rows[:, -2:] = np.nan
    background = learn(people, KINDS)
    assert background is not None
    text = SharedText(
        tuple(f"m{seed}" for seed in range(10)), background, usual_of([(np.ones((2, KEYS)), np.ones((2, KEYS)))])
    )
    template = background.detector.enroll(
        [Sample(row, float(at)) for at, row in enumerate(people[0])], KINDS, "positions"
    )
    found = text.others("m0", template, NearestRecent2())
    assert found is not None
    assert found.size == 90
    assert np.isfinite(found).all()


def test_whoever_is_forgotten_leaves_no_trace() -> None:
    without = learned(range(1, 12))
    again = learn([typed(seed, 40) for seed in range(12) if seed != 0], KINDS)
    assert again is not None
    assert np.array_equal(without.weights, again.weights)
    assert all(np.array_equal(one, two) for one, two in zip(without.members, again.members, strict=True))


def test_the_order_of_members_does_not_matter() -> None:
    people = [typed(seed, 40) for seed in range(10)]
    one, two = learn(people, KINDS), learn(people[::-1], KINDS)
    assert one is not None
    assert two is not None
    assert scores(one, 42)[1] == pytest.approx(scores(two, 42)[1], abs=1e-3)


def test_missing_timings_are_bridged() -> None:
    people = [typed(seed, 40) for seed in range(10)]
    for rows in people:
        rows[:, -2:] = np.nan  # Enter was never pressed
        rows[::7, 4] = np.nan
    background = learn(people, KINDS)
    assert background is not None
    own, strange = scores(background, 42)
    assert np.isfinite(own).all()
    assert np.median(own) < np.median(strange)


def test_members_of_another_text_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        learn([np.ones((40, 5))] * 10, KINDS)
