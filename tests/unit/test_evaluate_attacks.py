"""``gaitkeeper evaluate attacks``: attacks as the protocol defines them, thresholds that include the checks."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.errors import BadRequest
from sidecar.evaluation import metrics
from sidecar.evaluation.attacks import make
from sidecar.evaluation.attacks.check import checked
from sidecar.evaluation.attacks.measure import _threshold, attack
from sidecar.evaluation.attacks.poison import Rule, wear
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke.discovery import find_sets
from sidecar.evaluation.keystroke.models import Model, product_models
from sidecar.evaluation.keystroke.sets import KeystrokeSet, Person
from sidecar.evaluation.synthetic import typist
from sidecar.features.liveness import usual_of
from sidecar.scoring import DETECTORS

KEYS = 8


def typed(seed: int, count: int) -> make.Timings:
    rng = np.random.default_rng(seed)
    logins = [typist(seed).login(rng, KEYS, enter=False) for _ in range(count)]
    holds = np.array([[hold for _, hold in rows] for rows in logins])
    return holds, np.diff(np.array([[down for down, _ in rows] for rows in logins]), axis=1)


def test_attacks_are_those_of_the_protocol() -> None:
    people = [typed(seed, 40) for seed in range(4)]
    pooled = np.concatenate([hold for hold, _ in people]), np.concatenate([step for _, step in people])
    found = make.invented(pooled, people[0], np.random.default_rng(1))
    hold, step = found["population median, jitter 0"]
    assert hold.shape == (200, KEYS)
    assert np.array_equal(hold[7], np.median(pooled[0], axis=0))
    assert np.array_equal(step[7], np.median(pooled[1], axis=0))
    noise = np.log(found["population median, jitter 0.2"][0] / hold[0])
    assert noise.std() == pytest.approx(0.2, rel=0.1)
    assert abs(noise.mean()) < 0.02
    assert np.unique(found["constant"][0]).tolist() == [80.0]
    assert np.unique(found["constant"][1]).tolist() == [120.0]
    low, high = found["uniform"][1].min(), found["uniform"][1].max()
    assert 80 <= low < 95
    assert 335 < high <= 350
    assert np.array_equal(found["victim's median"][0][0], np.median(people[0][0][-30:], axis=0))
    made = found["generated"]
    assert np.median(made[0], axis=0) == pytest.approx(np.median(pooled[0], axis=0), rel=0.2)


def test_odd_ways_of_typing_stay_typing() -> None:
    hold, step = timings = typed(3, 30)
    rng = np.random.default_rng(2)
    assert np.array_equal(make.slow(timings)[1], step * 2.5)
    repeated = make.repeated_key(timings, rng)
    assert ((repeated[0] != hold).sum(axis=1) == 1).all()
    assert repeated[0].max(axis=1).min() >= 500
    sticky = make.sticky_keys(timings)
    assert (sticky[1] - sticky[0][:, :-1] >= 50.0 - 1e-9).all()
    jittered = make.jittered(timings, 5.0, rng)
    assert np.std(jittered[0] - hold) == pytest.approx(5.0, rel=0.15)


def test_the_threshold_counts_what_the_checks_reject() -> None:
    genuine = np.arange(100.0)
    none = np.zeros(100, dtype=bool)
    assert (genuine >= _threshold(genuine, none)).sum() == 5
    some = none.copy()
    some[:3] = True
    rejected = (genuine >= _threshold(genuine, some)) | some
    assert rejected.sum() == 5
    many = none.copy()
    many[:20] = True  # more than 5%: nothing beyond what the person reached is let in for it
    assert np.isfinite(_threshold(genuine, many))
    assert _threshold(genuine, many) == pytest.approx(99.0)
    assert (genuine[~many] < _threshold(genuine, many)).all()


def test_an_attempt_is_compared_with_what_came_before_it() -> None:
    own = typed(4, 12)
    usual = usual_of([typed(seed, 5) for seed in range(6)])
    later = own[0][6:], own[1][6:]
    assert not checked(later, usual, own, list(range(6, 12))).flagged.any()
    assert checked(later, usual, own).flagged.all()  # without an order every one finds itself
    assert checked(later, usual, own).signs["copied"] == 6


def write(folder: Path, people: int, repetitions: int) -> Path:
    lines = ["subject,session,rep,key_index,press_s,release_s"]
    for person in range(people):
        rng = np.random.default_rng(person)
        for rep in range(repetitions):
            for key, (down, hold) in enumerate(typist(person).login(rng, KEYS, enter=False)):
                lines.append(f"p{person},1,{rep},{key},{down / 1000:.4f},{(down + hold) / 1000:.4f}")
    file = folder / "letters.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["evaluate", "attacks", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_command_attacks_everybody(tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    printed = run("--data", write(tmp_path, 3, 400), "--no-poisoning", "--json", out)
    assert "with the checks" in printed
    (found,) = json.loads(out.read_text())
    accepted = found["accepted"]
    assert accepted["exact replay of a stored sample"]["with_checks"] == 0.0
    assert accepted["exact replay of a stored sample"]["score_alone"] > 0.5
    assert accepted["constant"]["with_checks"] == 0.0
    assert found["false_positives"] <= 0.02
    assert found["poisoning"] == []


def test_poisoning_learns_more_the_looser_the_rule_and_nothing_without_one(tmp_path: Path) -> None:
    data = find_sets(write(tmp_path, 3, 400))[0][0]
    model = product_models()["nearest-recent-2"]
    steps: list[int] = []
    nothing, strict, loose = (wear(data, model, Rule(quantile), 1, steps.append) for quantile in (None, 0.8, 1.0))
    assert (nothing.absorbed, nothing.own_learned) == (0.0, 0.0)
    assert nothing.eer == pytest.approx(_frozen_eer(data, model))
    assert 100 < strict.own_learned < loose.own_learned <= 200
    assert strict.absorbed <= loose.absorbed <= 10  # ten attempts in all: the first five of two others
    assert strict.eer <= nothing.eer + 0.05
    assert len(steps) == 9


def test_an_impostor_who_types_alike_wears_a_loose_profile_down(tmp_path: Path) -> None:
    """Three people of one rhythm: a loose rule learns the other one too, a strict one fewer of those attempts."""
    lines = ["subject,session,rep,key_index,press_s,release_s"]
    for person, slower in enumerate((1.0, 1.12, 1.12)):
        rng = np.random.default_rng(person)
        for rep in range(400):
            for key, (down, hold) in enumerate(typist(5).login(rng, KEYS, enter=False)):
                press, release = down * slower / 1000, (down * slower + hold) / 1000
                lines.append(f"p{person},1,{rep},{key},{press:.4f},{release:.4f}")
    file = tmp_path / "alike.csv"
    file.write_text("\n".join(lines) + "\n")
    data = find_sets(file)[0][0]
    model = product_models()["nearest-recent-2"]
    strict, loose = (wear(data, model, Rule(quantile), 1, lambda _: None) for quantile in (0.8, 0.99))
    assert strict.absorbed < loose.absorbed


def test_the_whole_rule_of_a_login_learns_at_most_five_a_day_and_no_copy(tmp_path: Path) -> None:
    """All 400 repetitions are of one session here, so five attempts at most are learned of 210."""
    data = find_sets(write(tmp_path, 3, 400))[0][0]
    name = "nearest-recent-2"
    model, detector = product_models()[name], DETECTORS[name]
    rule = Rule(0.9, guarded=True)
    found = wear(data, model, rule, 1, lambda _: None, detector)
    assert 0 < found.own_learned + found.absorbed <= 5
    loose = wear(data, model, Rule(0.9), 1, lambda _: None)
    assert loose.own_learned > 100
    copies = [Person(each.name, np.tile(each.values[:200], (2, 1)), each.sessions) for each in data.people]
    again = KeystrokeSet("again", data.layout, data.kinds, data.extra, tuple(copies))
    assert wear(again, model, rule, 1, lambda _: None, detector).own_learned == 0
    assert wear(again, model, Rule(0.9), 1, lambda _: None).own_learned > 100


def holed(data: KeystrokeSet, column: int, share: float) -> KeystrokeSet:
    """The set with gaps: one column missing for the first person, and a share of all timings."""
    people = []
    for number, person in enumerate(data.people):
        values = person.values.copy()
        values[np.random.default_rng(number).random(values.shape) < share] = np.nan
        values[:, column] = np.nan if number == 0 else values[:, column]
        people.append(Person(person.name, values, person.sessions))
    return KeystrokeSet("holed", data.layout, data.kinds, data.extra, tuple(people))


@pytest.mark.parametrize("share", [0.0005, 0.3])
def test_missing_timings_stop_no_attack(tmp_path: Path, share: float) -> None:
    data = holed(find_sets(write(tmp_path, 3, 400))[0][0], 2, share)
    found = attack(data, product_models()["nearest-recent-2"], 1, lambda _: None)
    assert {len(values) for values in found.alone.values()} == {3}
    assert np.mean(found.guarded["exact replay of a stored sample"]) == 0.0
    assert np.mean(found.alone["population median, jitter 0.3"]) < 0.5
    assert all(np.isfinite(values).all() for values in (*found.alone.values(), *found.odd.values()))


def test_a_column_that_nobody_has_is_missing_in_every_attack() -> None:
    hold, step = typed(1, 60)
    hold[:, 3] = np.nan
    made = make.invented((hold, step), (hold, step), np.random.default_rng(1))
    assert np.isnan(made["generated"][0][:, 3]).all()
    assert np.isfinite(np.delete(made["generated"][0], 3, axis=1)).all()
    for name in ("population median, jitter 0.1", "victim's median"):
        assert np.isnan(made[name][0][:, 3]).all()
        assert np.isfinite(made[name][1]).all()
    assert np.isfinite(make.repeated_key((hold, step), np.random.default_rng(2))[1]).all()
    assert np.isfinite(make.sticky_keys((hold, step))[1]).all()


def test_a_person_whom_nothing_can_be_compared_with_is_named(tmp_path: Path) -> None:
    data = find_sets(write(tmp_path, 3, 400))[0][0]
    first = data.people[1]
    values = first.values.copy()
    values[:200, 1:] = np.nan
    values[200:, 0] = np.nan
    people = (data.people[0], Person(first.name, values, first.sessions), data.people[2])
    apart = KeystrokeSet("apart", data.layout, data.kinds, data.extra, people)
    with pytest.raises(DatasetInvalid, match="apart, attacks, subject p1: none of the repetitions 201-400"):
        attack(apart, product_models()["nearest-recent-2"], 1, lambda _: None)


def _frozen_eer(data: KeystrokeSet, model: Model) -> float:
    rates = []
    for user, person in enumerate(data.people):
        fitted = model.fit(person.values[:200], data.kinds, 1)
        strange = np.concatenate([each.values[:5] for other, each in enumerate(data.people) if other != user])
        rates.append(metrics.equal_error_rate(fitted.scores(person.values[200:400]), fitted.scores(strange)))
    return float(np.mean(rates))


def test_a_set_that_is_too_small_is_not_applicable(tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    printed = run("--data", write(tmp_path, 3, 20), "--json", out)
    assert "not applicable" in printed
    assert json.loads(out.read_text()) == []


def test_wrong_choices_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no detector 'oracle'"):
        run("--data", write(tmp_path, 2, 5), "--detector", "oracle")
