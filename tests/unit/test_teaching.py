"""What a successful login may teach, and how far a patient impostor without a second factor gets."""

import numpy as np
import pytest
from support.world import rows_of

from sidecar.config import LearningSettings
from sidecar.domain import entries as lists
from sidecar.domain.biometrics import Probe, ProfileState, Sample
from sidecar.domain.decisions import Evidence
from sidecar.domain.entries import Ended, Entries, Entry
from sidecar.evaluation.synthetic import probe_of
from sidecar.scoring import DETECTORS, calibration
from sidecar.scoring.updates import PER_DAY, Learning
from sidecar.usecases.teaching import Asked, may_teach, moved_from_anchor

RULES = LearningSettings()
DETECTOR = DETECTORS["nearest-recent-2"]
OWNER, THIEF = 7, 18


def probe(person: int, login: int) -> Probe:
    return probe_of(rows_of(person, login))


def asked(**changed: object) -> Asked:
    given = {
        "probe": probe(OWNER, 1),
        "state": ProfileState.READY,
        "evidence": Evidence.PASSWORD_ONLY,
        "llr": -3.0,
        "matched": True,
        "machine": False,
        "suffices": False,
        "taught": {},
    }
    return Asked(**(given | changed))  # type: ignore[arg-type]


def known(*llrs: float) -> Entries:
    made = lists.nothing()
    for number, llr in enumerate(llrs):
        entry = Entry("password", "keyboard", probe(OWNER, 100 + number), float(number), llr, DETECTOR.name)
        made = lists.ended(lists.added(made, entry), float(number), Ended.ALLOWED)
    return made


SCORES = known(*np.linspace(-4.0, 0.5, 40))


@pytest.mark.parametrize(
    ("changed", "entries", "wanted"),
    [
        ({}, SCORES, Learning.LEARN),
        ({"machine": True, "evidence": Evidence.SECOND_FACTOR}, SCORES, Learning.MACHINE),
        ({"llr": 0.3}, SCORES, Learning.TOO_FAR),
        ({"llr": 0.3, "evidence": Evidence.SECOND_FACTOR}, SCORES, Learning.LEARN),
        ({"llr": -0.5}, None, Learning.TOO_FAR),
        ({"llr": -1.5}, None, Learning.LEARN),
        ({"matched": False}, SCORES, Learning.TOO_FAR),
        ({"llr": None}, SCORES, Learning.TOO_FAR),
        ({"taught": {Evidence.PASSWORD_ONLY: PER_DAY}}, SCORES, Learning.ENOUGH_TODAY),
        ({"taught": {Evidence.SECOND_FACTOR: RULES.samples_per_day}}, SCORES, Learning.ENOUGH_TODAY),
        ({"evidence": Evidence.UNLIKE, "taught": {Evidence.UNLIKE: 1}}, SCORES, Learning.ENOUGH_TODAY),
        ({"state": ProfileState.LEARNING}, None, Learning.UNCONFIRMED),
        ({"state": ProfileState.LEARNING, "suffices": True}, None, Learning.LEARN),
    ],
)
def test_what_may_teach(changed: dict[str, object], entries: Entries | None, wanted: Learning) -> None:
    assert may_teach(asked(**changed), RULES, entries, DETECTOR) is wanted


def test_ten_scores_of_ones_own_replace_the_bar_that_holds_for_everybody() -> None:
    """A person whose own logins score at -.5 could never be learned under one bar for all."""
    own = known(*([-0.5] * 12))
    assert may_teach(asked(llr=-0.5), RULES, own, DETECTOR) is Learning.LEARN
    assert may_teach(asked(llr=-0.4), RULES, own, DETECTOR) is Learning.TOO_FAR


def play(days: int, pull: float) -> tuple[Entries, list[Learning], int]:
    """A profile of 15 confirmed samples, then ``days`` of five logins, each pulled so much farther towards a thief."""
    made = lists.nothing()
    for number in range(15):
        entry = Entry("password", "keyboard", probe(OWNER, 1000 + number), float(number), None, "")
        made = lists.learned(made, entry)
    said, taught = [], 0
    for number in range(days * PER_DAY):
        part = min(1.0, pull * number)
        own, thief = probe(OWNER, number), probe(THIEF, number)
        moved = Probe("password", "positions", (1 - part) * own.values + part * thief.values, own.kinds, own.labels)
        at = 1e5 + number * 86_400.0 / PER_DAY
        stored = np.flatnonzero(made.stored)
        n = own.values.size // 3
        rows = [
            np.stack([made.hold[i, :n], made.down_down[i, :n], made.down_down[i, :n] - made.hold[i, :n]], 1).ravel()
            for i in stored
        ]
        template = DETECTOR.enroll(
            [Sample(r.astype(float), float(i)) for i, r in enumerate(rows)], own.kinds, "positions"
        )
        llr = calibration.to_llr(
            DETECTOR.distance(template, moved.values),
            features=3 * n, samples=template.samples, layout="positions", detector=DETECTOR.name,
        )  # fmt: skip
        entry = Entry("password", "keyboard", moved, at, llr, DETECTOR.name)
        verdict = may_teach(asked(probe=moved, llr=llr, matched=llr < 0.9), RULES, made, DETECTOR)
        said.append(verdict)
        made = lists.added(made, entry)
        made = lists.ended(made, at, Ended.ALLOWED if llr < 0.9 else Ended.NOT)
        if verdict is Learning.LEARN:
            made, taught = lists.learned(made, entry), taught + 1
    return made, said, taught


def test_enr6_a_steady_pull_without_second_factor_is_stopped() -> None:
    """Five logins a day, each a little nearer to the thief: the profile stops to learn before it is the thief's."""
    for pull in (0.005, 0.01, 0.03):
        made, said, taught = play(days=32, pull=pull)
        assert Learning.MOVED in said
        assert said[-25:].count(Learning.LEARN) <= 1
        assert taught < 0.55 * len(said)
        moved = moved_from_anchor(made, probe(OWNER, 1), DETECTOR)
        assert moved is not None
        assert moved.deviations < 2.3  # where it stopped: nearer to its anchor than half of all other people are


def test_the_owner_who_stays_the_same_is_learned() -> None:
    made, said, taught = play(days=16, pull=0.0)
    assert Learning.MOVED not in said
    assert taught > 0.6 * len(said)
    assert moved_from_anchor(made, probe(OWNER, 1), DETECTOR) is not None


def test_anchors_outlive_any_number_of_unconfirmed_samples() -> None:
    made = lists.nothing()
    for number in range(12):
        made = lists.learned(made, Entry("password", "keyboard", probe(OWNER, number), float(number), None, ""))
    for number in range(12, 360):
        at = float(number)
        entry = Entry("password", "keyboard", probe(OWNER, number), at, -3.0, DETECTOR.name)
        made = lists.learned(lists.ended(lists.added(made, entry), at, Ended.ALLOWED), entry)
    assert made.at[:10].tolist() == [float(number) for number in range(2, 12)]
    assert len(made) == lists.STORED + 10
