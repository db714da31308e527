"""The settings of ``evaluate keystroke`` on tiny sets with figures computed by hand."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from sidecar.domain.biometrics import Floats, Kind
from sidecar.evaluation import metrics
from sidecar.evaluation.keystroke.cohorts import background
from sidecar.evaluation.keystroke.halves import FILE, of_the_others
from sidecar.evaluation.keystroke.models import product_models
from sidecar.evaluation.keystroke.plans import SETTINGS, Confirmed, Disjoint, Stage, others, split_hash, users_of
from sidecar.evaluation.keystroke.play import MAIN, play, play_confirmed, quiet_scores
from sidecar.evaluation.keystroke.run import measure, planned
from sidecar.evaluation.keystroke.sets import Extra, KeystrokeSet, Person
from sidecar.scoring.cohort import Background

MANHATTAN = product_models()["scaled-manhattan"]


def one_column(*people: list[float], per_session: int = 50) -> KeystrokeSet:
    made = [
        Person(f"p{i}", np.array(values)[:, None], np.arange(len(values)) // per_session + 1)
        for i, values in enumerate(people)
    ]
    kinds = np.array([Kind.HOLD], dtype=np.uint8)
    return KeystrokeSet("tiny", "timings", kinds, np.zeros(1, dtype=np.uint8), tuple(made))


def stages(name: str, data: KeystrokeSet, user: int = 0) -> tuple[Stage, ...]:
    plan = SETTINGS[name].plan(data, user, 1)
    assert isinstance(plan, tuple)
    return plan


def test_scaled_manhattan_km09_by_hand() -> None:
    own = [99.0, 101.0] * 100 + [100.0] * 150 + [103.0] * 50  # mean 100, deviation 1
    other = [102.0] * 4 + [104.0] + [90.0] * 395
    data = one_column(own, other)
    scores = play(data, stages("km09", data), MANHATTAN, 0, 1).blocks[MAIN]
    assert sorted(set(scores.genuine)) == [0.0, 3.0]
    assert scores.impostor.tolist() == [2.0, 2.0, 2.0, 2.0, 4.0]
    # flagged from 2: 25% of the own, every impostor; from 3: 25% of the own, 20% of the impostors
    assert metrics.equal_error_rate(scores.genuine, scores.impostor) == pytest.approx(0.25)


def test_settings_take_the_repetitions_the_protocol_says() -> None:
    data = one_column(*[[100.0 + i] * 400 for i in range(3)])
    (km09,) = stages("km09", data)
    assert (km09.template[0], km09.template[-1], km09.genuine[0], km09.genuine[-1]) == (0, 199, 200, 399)
    assert km09.impostor.tolist() == [[person, row] for person in (1, 2) for row in range(5)]
    (practised,) = stages("km09-practised", data, user=1)
    assert practised.impostor.tolist() == [[person, row] for person in (0, 2) for row in range(395, 400)]
    (known,) = stages("known-10", data)
    assert known.template.tolist() == list(range(190, 200))
    lagged = stages("day-lagged", data)
    assert [each.template.size for each in lagged] == [200, 250, 300, 350]
    assert [(each.genuine[0], each.genuine.size) for each in lagged] == [(200, 50), (250, 50), (300, 50), (350, 50)]
    daily = stages("one-a-day", data)
    assert daily[0].template.tolist() == [0, 50, 100, 150]
    assert daily[3].template.tolist() == [0, 50, 100, 150, 200, 250, 300]
    assert daily[3].genuine.tolist() == [350, 351, 352, 353, 354]
    (first,) = stages("first-20", data)
    assert (first.template.size, first.genuine.size, first.impostor.shape) == (20, 380, (10, 2))


def test_cohort_settings_keep_folds_apart() -> None:
    data = one_column(*[[100.0 + i] * 400 for i in range(20)])
    plan = SETTINGS["cohort"].plan(data, 3, 1)
    assert isinstance(plan, Disjoint)
    (stage,) = plan.stages
    assert stage.impostor.tolist() == [[person, row] for person in range(20) if person != 3 for row in range(5)]
    assert np.bincount(plan.folds).tolist() == [4] * 5
    assert np.array_equal(plan.folds, SETTINGS["cohort-practised"].plan(data, 7, 1).folds)  # type: ignore[union-attr]
    assert users_of(one_column(*[[100.0] * 400] * 14), SETTINGS["cohort"], 1) == []
    assert SETTINGS["cohort"].plan(one_column(*[[100.0] * 150] * 20), 0, 1) is None


def test_a_cohort_is_learned_from_nobody_in_the_two_folds_and_nothing_after_200() -> None:
    """Whatever happens to people of the two folds, and to everybody after repetition 200, changes nothing."""
    rng = np.random.default_rng(9)
    folds = np.arange(20) % 5

    def learned(blind: bool) -> Background:
        people = []
        for i in range(20):
            rows = np.random.default_rng(i).normal(100 + 3 * i, 9, (400, 6))
            if blind:
                rows[200:] = rng.normal(500, 90, (200, 6))
            if blind and folds[i] in (1, 3):
                rows[:] = rng.normal(300, 90, (400, 6))
            people.append(Person(f"p{i}", rows, np.ones(400, dtype=np.int64)))
        kinds = np.array([Kind.HOLD] * 3 + [Kind.UP_DOWN] * 3, dtype=np.uint8)
        data = KeystrokeSet("tiny", "timings", kinds, np.zeros(6, dtype=np.uint8), tuple(people))
        return background(data, folds, 1, 3)

    one, two = learned(blind=False), learned(blind=True)
    assert np.array_equal(one.weights, two.weights)
    assert np.array_equal(one.whitening, two.whitening)
    assert len(one.members) == 12


def test_constants_of_one_half_score_the_other() -> None:
    assert of_the_others("no such set", 0) is None
    digests = list(json.loads(FILE.read_text()))
    assert len(digests) == 2
    for digest in digests:
        even, odd = of_the_others(digest, 0), of_the_others(digest, 1)
        assert even is not None
        assert odd is not None
        assert "odd half" in even.form.provenance  # person 0 is even, so the odd half's constants score them
        assert "even half" in odd.form.provenance


def test_a_set_that_is_too_small_has_no_plan() -> None:
    data = one_column([100.0] * 30, [101.0] * 30, [102.0] * 15)
    applicable = {name: users_of(data, setting, 1) for name, setting in SETTINGS.items()}
    assert applicable["first-5"] == [0, 1, 2]
    assert applicable["first-20"] == [0, 1]  # the third is left out, and still an impostor
    assert [name for name, users in applicable.items() if users] == ["first-5", "first-10", "first-20"]
    alone = one_column([100.0] * 400)
    assert not any(users_of(alone, setting, 1) for setting in SETTINGS.values())


def test_meu_10_needs_pressure_or_size() -> None:
    plain = one_column([100.0] * 51, [90.0] * 51)
    assert users_of(plain, SETTINGS["meu-10"], 1) == []
    touch = KeystrokeSet("touch", "meu", plain.kinds, np.array([Extra.PRESSURE], dtype=np.uint8), plain.people)
    assert users_of(touch, SETTINGS["meu-10"], 1) == [0, 1]
    (stage,) = stages("meu-10", touch)
    assert (stage.template.size, stage.genuine.tolist()) == (10, list(range(10, 51)))


@dataclass(frozen=True)
class FromNewest:
    """Distance to the newest row alone: shows which rows a template held."""

    name: str = "from-newest"
    calibrated: bool = False
    cadence: int = 1
    constants: str = ""
    touch: bool = False

    def unseen(self, *_: object) -> "FromNewest":
        return self

    def fit(self, rows: Floats, *_: object) -> "FromNewest.Fitted":
        return self.Fitted(float(rows[-1, 0]))

    @dataclass(frozen=True)
    class Fitted:
        newest: float

        def scores(self, probes: Floats) -> Floats:
            return np.abs(probes[:, 0] - self.newest)

        def stored_bytes(self) -> int:
            return 8


def squares() -> KeystrokeSet:
    """Repetition r (from 0) takes r * r ms, so that neighbours differ by 2 r - 1; another person 7,000 ms."""
    return one_column([float(r * r) for r in range(100)], [7000.0] * 100)


def test_cold_10_confirmed_scores_each_login_before_it_learns_it() -> None:
    data = squares()
    plan = Confirmed({}, {50: np.array([[1, 0]]), 99: np.array([[1, 4], [1, 0]])})
    blocks = play_confirmed(data, plan, FromNewest(), 0, 1, limit=np.inf).blocks
    assert set(blocks) == {MAIN, "51-100 earlier days"}  # no draws in 11-50
    assert blocks[MAIN].genuine.tolist() == [2 * r - 1 for r in range(50, 100)]
    assert blocks[MAIN].impostor.tolist() == [7000 - 49**2, 98**2 - 7000, 98**2 - 7000]
    assert blocks["51-100 earlier days"].genuine.tolist() == [r * r - 49**2 for r in range(50, 100)]
    assert blocks["51-100 earlier days"].impostor.tolist() == [7000 - 49**2] * 3


@pytest.mark.parametrize(("limit", "learned"), [(7000.0 - 59**2, True), (7000.0 - 59**2 - 1, False)])
def test_cold_10_confirmed_learns_an_attack_up_to_the_limit(limit: float, learned: bool) -> None:
    plan = Confirmed({60: (1, 2)}, {99: np.array([[1, 0]])})
    found = play_confirmed(squares(), plan, FromNewest(), 0, 1, limit=limit).blocks[MAIN].genuine
    # the attack is scored against the template of repetition 60, whose newest is 59, and comes after 60
    assert found[60 - 50] == 119.0
    assert found[61 - 50] == (7000 - 61**2 if learned else 121.0)
    assert found[62 - 50] == 123.0


def test_a_slower_cadence_trains_at_intervals_and_at_each_day() -> None:
    found = quiet_scores(squares(), FromNewest(cadence=25), 0, 1)
    newest = [9] * 25 + [34] * 15 + [49] * 25 + [74] * 25
    assert found.tolist() == [float(r * r - n * n) for r, n in zip(range(10, 100), newest, strict=True)]


def test_the_plan_of_cold_10_confirmed_follows_the_protocol() -> None:
    data = one_column(*[[100.0] * 400 for _ in range(4)])
    plan = SETTINGS["cold-10-confirmed"].plan(data, 2, 1)
    assert isinstance(plan, Confirmed)
    for first, last in ((11, 50), (51, 100), (101, 200), (201, 400)):
        inside = [row for row in plan.draws if first <= row + 1 <= last]
        assert len(inside) == 25
        assert {first - 1, last - 1} <= set(inside)
    assert {draws.shape for draws in plan.draws.values()} == {(10, 2)}
    tried = {(person, row) for person, row in plan.attacks.values()}
    assert tried <= {(person, row) for person in (0, 1, 3) for row in range(5)}
    assert 5 <= len(plan.attacks) <= 40  # 5% of 390
    assert min(plan.attacks) >= 10


def test_the_split_is_a_hash_of_data_and_repetitions() -> None:
    data = one_column(*[[100.0 + i] * 100 for i in range(4)])
    cold, first = SETTINGS["cold-10-confirmed"], SETTINGS["first-10"]
    users = [0, 1, 2, 3]
    assert split_hash(data, cold, users, 1) == split_hash(data, cold, users, 1)
    assert split_hash(data, cold, users, 1) != split_hash(data, cold, users, 2)
    assert split_hash(data, first, users, 1) == split_hash(data, first, users, 2)  # nothing is drawn
    assert split_hash(data, first, users, 1) != split_hash(data, first, users[:3], 1)
    moved = one_column(*[[100.5 + i] * 100 for i in range(4)])
    assert split_hash(data, first, users, 1) != split_hash(moved, first, users, 1)


def test_others_gives_what_there_is() -> None:
    data = one_column([1.0] * 10, [1.0] * 3, [1.0] * 10)
    assert others(data, 0, 1, 5).tolist() == [[1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2], [2, 3], [2, 4]]


def test_the_unit_of_pressure_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    values = [np.column_stack([rng.normal(100, 9, 40), rng.normal(0.2 + i / 40, 0.03, 40)]) for i in range(4)]
    kinds = np.array([Kind.HOLD, Kind.HOLD], dtype=np.uint8)
    extra = np.array([Extra.NONE, Extra.PRESSURE], dtype=np.uint8)

    def rows(unit: float) -> list[object]:
        people = tuple(Person(str(i), v * [1.0, unit], np.ones(40, dtype=np.int64)) for i, v in enumerate(values))
        data = KeystrokeSet("touch", "events", kinds, extra, people)
        work = planned([data], ["first-10"], ["nearest-recent-1"], 1)
        return [part.row["eer"] for parts in measure(work, 1, lambda _: None, lambda _: None) for part in parts]

    assert rows(1.0) == pytest.approx(rows(1000.0))


def test_nobodys_own_pressure_is_in_their_unit() -> None:
    values = [np.full((40, 1), 0.1) + np.arange(40)[:, None] % 3 * 0.01 * (i + 1) for i in range(4)]
    kinds, extra = np.zeros(1, dtype=np.uint8), np.array([Extra.PRESSURE], dtype=np.uint8)

    def view(first: Floats) -> Floats:
        people = [Person(str(i), v, np.ones(40, dtype=np.int64)) for i, v in enumerate([first, *values[1:]])]
        return KeystrokeSet("touch", "events", kinds, extra, tuple(people)).view(0)[2]

    assert view(values[0]).tolist() == view(values[0] * 5).tolist()
