"""People whom the constants were fitted on are known again by what they typed, and scored with others' constants."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sidecar.domain.biometrics import Floats
from sidecar.evaluation.keystroke import known
from sidecar.evaluation.keystroke.discovery import find_sets
from sidecar.evaluation.keystroke.halves import digests, of_the_others
from sidecar.evaluation.keystroke.models import ProductModel, product_models
from sidecar.evaluation.keystroke.plans import SETTINGS, Confirmed
from sidecar.evaluation.keystroke.play import MAIN, play, play_confirmed, quiet_scores
from sidecar.evaluation.keystroke.run import measure, planned
from sidecar.evaluation.keystroke.sets import KeystrokeSet, Person
from sidecar.evaluation.synthetic import typist
from sidecar.scoring.nearest_recent_2 import NearestRecent2

KEYS, PEOPLE, REPETITIONS = 10, 6, 110
CMU = next(digest for digest in digests() if digest != known.TOUCH)
Row = tuple[str, int, list[tuple[float, float]]]


def rows() -> list[Row]:
    """Subject, repetition, and each key's press and release in seconds."""
    found = []
    for person in range(PEOPLE):
        rng = np.random.default_rng(person)
        for rep in range(1, REPETITIONS + 1):
            typed = typist(person).login(rng, KEYS, enter=False)
            found.append((f"s{person:03}", rep, [(down / 1000, (down + hold) / 1000) for down, hold in typed]))
    return found


def timings(file: Path, typed: list[Row], digits: int = 4) -> KeystrokeSet:
    header = [*(f"H.{key}" for key in range(KEYS)), *(f"DD.{key}" for key in range(KEYS - 1))]
    lines = [",".join(["subject", "sessionIndex", "rep", *header])]
    for subject, rep, keys in typed:
        cells = [up - down for down, up in keys] + [two[0] - one[0] for one, two in pairwise(keys)]
        lines.append(",".join([subject, "1", str(rep), *(f"{cell:.{digits}f}" for cell in cells)]))
    file.write_text("\n".join(lines))
    return find_sets(file).sets[0]


def events(file: Path, typed: list[Row]) -> KeystrokeSet:
    lines = ["subject,session,rep,key_index,press_s,release_s"]
    for subject, rep, keys in typed:
        lines += [f"{subject},1,{rep},{key},{5 + down:.4f},{5 + up:.4f}" for key, (down, up) in enumerate(keys)]
    file.write_text("\n".join(lines))
    return find_sets(file).sets[0]


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeystrokeSet:
    """A set in the place of the CMU set."""
    data = timings(tmp_path / "fitted.csv", rows())
    people = [[known._packed(kind) for kind in known.hashes(data, number)] for number in range(PEOPLE)]
    monkeypatch.setattr(known, "_table", lambda: known.table_of({CMU: people}))
    monkeypatch.setattr(known, "_found", {})
    return data


def renamed(typed: list[Row]) -> list[Row]:
    return [(f"person {9 - int(subject[1:])}", rep, keys) for subject, rep, keys in typed]


@pytest.mark.parametrize(
    "copied",
    [
        lambda folder: timings(folder / "k.csv", renamed(rows())[::-1]),
        lambda folder: timings(folder / "k.csv", [row for row in renamed(rows()) if 60 < row[1] <= 70]),
        lambda folder: timings(folder / "k.csv", renamed(rows()), digits=3),
        lambda folder: events(folder / "k.csv", renamed(rows())),
    ],
    ids=["renamed and reordered", "an excerpt", "rounded", "key events"],
)
def test_people_are_known_whatever_they_are_called(
    tmp_path: Path, fitted: KeystrokeSet, copied: Callable[[Path], KeystrokeSet]
) -> None:
    data = copied(tmp_path)
    assert data.digest != fitted.digest
    # "person 9" is the first of the fitted ones; names are in order, so the last comes first
    assert known.recognised(data) == tuple((CMU, number) for number in reversed(range(PEOPLE)))


def test_nobody_else_is_known(tmp_path: Path, fitted: KeystrokeSet) -> None:
    assert known.recognised(fitted) == tuple((CMU, number) for number in range(PEOPLE))
    rng = np.random.default_rng(1)
    others = tuple(Person(each.name, rng.permuted(each.values, axis=0), each.sessions) for each in fitted.people)
    assert known.recognised(replace(fitted, people=others)) == (None,) * PEOPLE


def test_the_committed_table_names_the_people_of_the_fits() -> None:
    assert {digest: 51 if digest == CMU else 56 for digest in digests()} == known.counts()


def shipped() -> ProductModel:
    found = product_models()["nearest-recent-2"]
    assert isinstance(found, ProductModel)
    return found


def by_half(user: int) -> ProductModel:
    half = of_the_others(CMU, user)
    assert half is not None
    return ProductModel(NearestRecent2(half.form), half.calibrations["positions"])


@pytest.mark.parametrize("user", [0, 1])
def test_a_known_person_is_scored_with_constants_of_the_other_half(fitted: KeystrokeSet, user: int) -> None:
    """In every way of playing; with the shipped constants the scores would be others."""
    plan = SETTINGS["first-10"].plan(fitted, user, 1)
    confirmed = SETTINGS["cold-10-confirmed"].plan(fitted, user, 1)
    assert isinstance(plan, tuple)
    assert isinstance(confirmed, Confirmed)
    unseen = dict.fromkeys(range(PEOPLE))

    def scores(model: ProductModel) -> list[Floats]:
        return [
            play(fitted, plan, model, user, 1).blocks[MAIN].genuine,
            play_confirmed(fitted, confirmed, model, user, 1, limit=0.0).blocks[MAIN].impostor,
            quiet_scores(fitted, model, user, 1),
        ]

    found = scores(shipped())
    known._found[fitted.digest] = tuple(unseen.values())  # so that the models below are taken as they are
    for own, other, plain in zip(found, scores(by_half(user)), scores(shipped()), strict=True):
        assert np.array_equal(own, other)
        assert not np.allclose(own, plain)


def test_the_rows_say_whose_constants_were_used_and_warn(fitted: KeystrokeSet) -> None:
    models = ["scaled-manhattan", "nearest-recent-1", "nearest-recent-2"]
    (parts,) = measure(planned([fitted], ["first-10"], models, 1), 1, lambda _: None, lambda _: None)
    said = {part.row["detector"]: (part.row["constants"], part.row["constants_saw"]) for part in parts}
    assert said["scaled-manhattan"] == ("none fitted", 0)
    words, saw = said["nearest-recent-2"]
    assert saw == 0
    assert "the odd half of the CMU subjects" in str(words)
    assert "the even half of the CMU subjects" in str(words)
    assert str(words).count("(3 people)") == 2
    assert said["nearest-recent-1"][1] == PEOPLE
    strangers = tuple(
        Person(each.name, each.values + np.linspace(20, 90, KEYS * 3 - 2), each.sessions) for each in fitted.people[:3]
    )
    mixed = replace(fitted, people=(*fitted.people[3:], *strangers))
    (parts,) = measure(planned([mixed], ["first-10"], models, 1), 1, lambda _: None, lambda _: None)
    said = {part.row["detector"]: (part.row["constants"], part.row["constants_saw"]) for part in parts}
    assert said["nearest-recent-1"][1] == 3
    assert "51 subjects" in str(said["nearest-recent-2"][0])  # the strangers' constants are the shipped ones
    assert "half of the CMU subjects" in str(said["nearest-recent-2"][0])
