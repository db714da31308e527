"""Whether typing tells people apart: warned and muted where it does not, left alone where it does."""

from dataclasses import replace

import numpy as np
import pytest
from support.world import rows_of

from sidecar.console.typing import of_person
from sidecar.domain import entries as lists
from sidecar.domain.biometrics import Cause, Floats, ProfileState, Sample, Template
from sidecar.domain.entries import Ended, Entries, Entry
from sidecar.evaluation.synthetic import probe_of
from sidecar.ports import Profile, ProfileKey
from sidecar.risk.muting import Others, distinguished, muted, no_others
from sidecar.risk.standing import Person, between_people, standing
from sidecar.scoring import CALIBRATED, DETECTORS
from sidecar.scoring.distinguish import Concern
from sidecar.scoring.strangers import usual_strangers

DETECTOR = DETECTORS["nearest-recent-2"]
LIMIT = 0.9
NOW = 1e6


def known(person: int, llrs: Floats, *, constant: bool = False, end: float = NOW) -> Entries:
    made = lists.nothing()
    for number, llr in enumerate(llrs):
        probe = probe_of(rows_of(person, 1 if constant else number))
        entry = Entry("password", "keyboard", probe, end - 3600.0 * (len(llrs) - number), float(llr), DETECTOR.name)
        made = lists.ended(lists.added(made, entry), entry.at, Ended.CONFIRMED)
    return replace(made, stored=np.ones(len(made), np.uint8))


def template(person: int) -> Template:
    probes = [probe_of(rows_of(person, 1000 + number)) for number in range(15)]
    samples = [Sample(probe.values, float(at)) for at, probe in enumerate(probes)]
    return DETECTOR.enroll(samples, probes[0].kinds, "positions")


def like(seed: int, count: int = 30, middle: float = -3.0) -> Floats:
    return np.random.default_rng(seed).normal(middle, 1.2, count)


def person(number: int, typist: int, llrs: Floats | None = None) -> Person:
    scores = like(number) if llrs is None else llrs
    shifted = known(typist, scores, end=NOW + number)
    # Logins of their own, also where several people have one typist's habits.
    other = known(typist, scores, end=NOW + number)
    rows = [probe_of(rows_of(typist, 100 * number + login)) for login in range(len(scores))]
    made = lists.nothing()
    for login, probe in enumerate(rows):
        entry = Entry("password", "keyboard", probe, float(other.at[login]), float(scores[login]), DETECTOR.name)
        made = lists.ended(lists.added(made, entry), entry.at, Ended.CONFIRMED)
    return Person(f"subject-{number}", "password", template(typist), replace(made, stored=shifted.stored))


@pytest.mark.parametrize(
    ("entries", "concern", "cause"),
    [
        (known(7, like(1)), None, None),
        (known(7, usual_strangers(DETECTOR.name)), Concern.ALIKE, Cause.INDISTINCT),
        (known(7, like(1), constant=True), Concern.CONSTANT, Cause.INDISTINCT),
        (known(7, like(1, 3)), Concern.TOO_LITTLE, None),
    ],
)
def test_sco10_a_person_whom_typing_does_not_tell_apart_is_muted(
    entries: Entries, concern: Concern | None, cause: Cause | None
) -> None:
    found = distinguished(entries, template(7), LIMIT)
    assert found.concerns == (() if concern is None else (concern,))
    profile = Profile(ProfileKey("one", "s", "keystroke", "password", "keyboard"), template(7), 15, True, NOW)
    silent = muted(
        {("password", "keyboard"): entries}, {"password": profile}, {"password": ProfileState.READY}, LIMIT, alike=False
    )
    assert silent == ({} if cause is None else {"password": cause})


@pytest.mark.parametrize("name", CALIBRATED)
def test_every_detector_that_decides_knows_how_strangers_score(name: str) -> None:
    """Else a person would never be found to score like them."""
    usual = usual_strangers(name)
    assert usual.size == 40
    assert (np.diff(usual) > 0).all()
    made = replace(known(7, usual), model=name)
    other = replace(template(7), detector=name)
    assert distinguished(made, other, LIMIT).concerns == (Concern.ALIKE,)


def test_a_coarse_clock_is_named_as_such() -> None:
    entries = known(7, like(1))
    coarse = replace(
        entries, hold=(np.round(entries.hold / 16) * 16).astype(np.float16),
        down_down=(np.round(entries.down_down / 16) * 16).astype(np.float16),
    )  # fmt: skip
    assert Concern.COARSE_CLOCK in distinguished(coarse, template(7), LIMIT).concerns


def test_nobody_is_muted_without_a_ready_profile() -> None:
    profile = Profile(ProfileKey("one", "s", "keystroke", "password", "keyboard"), template(7), 5, True, NOW)
    states = {"password": ProfileState.LEARNING}
    assert muted({}, {"password": profile}, states, LIMIT, alike=True) == {}


def test_sco10_people_who_differ_are_told_from_people_who_are_all_alike() -> None:
    differ = standing([person(number, number) for number in range(12)], LIMIT, NOW + 100)
    assert differ.between is not None
    assert differ.between.value > 0.6
    assert (differ.alike, differ.warnings) == (False, ())
    alike = standing([person(number, 7) for number in range(12)], LIMIT, NOW + 100)
    assert alike.between is not None
    assert alike.between.high < 0.2
    assert alike.alike
    assert "not scored" in alike.warnings[0]


def test_few_people_are_no_ground_for_a_warning() -> None:
    found = standing([person(number, 7) for number in range(4)], LIMIT, NOW)
    assert (found.between, found.alike) == (None, False)
    assert standing([], LIMIT, NOW).false_rejects is None


def test_three_people_with_two_fields_each_mute_nobody() -> None:
    """Six profiles are not six people: fewer than five people say nothing about a tenant."""
    three = [person(number, 7) for number in range(3)]
    names = [replace(person(number + 10, 7), subject=f"subject-{number}", field="username") for number in range(3)]
    touch = [replace(person(number + 20, 7), subject=f"subject-{number}", context="touch") for number in range(3)]
    found = standing([*three, *names, *touch], LIMIT, NOW + 100)
    assert (found.people, found.between, found.alike) == (3, None, False)


def test_one_field_that_tells_people_apart_is_enough_not_to_mute_all() -> None:
    alike = [person(number, 7) for number in range(8)]
    differ = [replace(person(number, number), field="username") for number in range(8)]
    assert standing(alike, LIMIT, NOW + 100).alike
    both = standing([*alike, *differ], LIMIT, NOW + 100)
    assert both.between is not None
    assert both.between.value > 0.6
    assert not both.alike


def test_people_who_type_the_same_text_are_the_strangers_of_each_other() -> None:
    """As the judge sees it: tries of others that score like the owner's mute the person, and the page says so."""
    owner = person(1, 1)
    near = like(50, 40)

    def others(_: str) -> Others:
        return lambda _field, _template: near

    found = standing([owner], LIMIT, NOW + 100, others)
    assert [(each.subject, each.concerns) for each in found.warned] == [("subject-1", (Concern.ALIKE,))]
    assert standing([owner], LIMIT, NOW + 100).warned == ()
    (told,) = of_person([owner], LIMIT, others("subject-1"))
    assert (told["concerns"], told["counts"]) == (["scores like strangers'"], False)
    (told,) = of_person([owner], LIMIT, no_others)
    assert told["counts"]


def test_rates_come_with_intervals() -> None:
    found = standing([person(number, number) for number in range(6)], LIMIT, NOW)
    assert found.false_rejects is not None
    assert found.false_accepts is not None
    assert found.false_rejects.low <= found.false_rejects.value <= found.false_rejects.high
    assert 0.05 < found.false_accepts.value < 0.3


def test_drift_of_one_person_and_of_all_is_said() -> None:
    risen = np.concatenate([like(1, 60), like(2, 15, middle=1.0)])
    one = standing([person(0, 0, risen), *(person(number, number) for number in range(1, 12))], LIMIT, NOW)
    assert [(each.subject, each.drifting) for each in one.warned] == [("subject-0", True)]
    assert not one.drifting
    # 200 hourly logins end at NOW: the last seven days are 168 of them.
    steady = [person(number, number, like(number, 200)) for number in range(12)]
    assert not standing(steady, LIMIT, NOW + 100).drifting
    all_risen = [
        person(number, number, np.concatenate([like(number, 32), like(number, 168, middle=-1.0)]))
        for number in range(12)
    ]
    assert standing(all_risen, LIMIT, NOW + 100).drifting


def test_the_share_between_groups_is_what_it_is_by_hand() -> None:
    """Two-level data with known variances: 3 between, 1 within."""
    draw = np.random.default_rng(5)
    groups = [draw.normal(middle, 1.0, 12) for middle in draw.normal(0.0, np.sqrt(3.0), 400)]
    found = between_people(groups)
    assert found is not None
    assert found.low < 0.75 < found.high
    assert found.value == pytest.approx(0.75, abs=0.05)


def test_a_field_without_enter_is_looked_at_like_any_other() -> None:
    """Its last step is missing in every sample."""
    entries = known(7, like(1))
    entries.down_down[:, 9] = np.nan
    assert distinguished(entries, template(7), LIMIT).concerns == ()
