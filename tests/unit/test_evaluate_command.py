"""``gaitkeeper evaluate keystroke``: figures, baselines, the command from file to report."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.errors import BadRequest
from sidecar.evaluation import metrics
from sidecar.evaluation.keystroke import run as run_module
from sidecar.evaluation.keystroke.aims import AIMS, missed
from sidecar.evaluation.keystroke.baselines import BASELINES
from sidecar.evaluation.keystroke.charts import det_points, reliability_points
from sidecar.evaluation.keystroke.figures import Measured, Row, figures, weights
from sidecar.evaluation.keystroke.literature import CLASSIFIERS, NOT_APPLICABLE, play_paper
from sidecar.evaluation.keystroke.models import Model
from sidecar.evaluation.keystroke.play import Scores
from sidecar.evaluation.keystroke.run import YARDSTICK, Part, Work
from sidecar.evaluation.keystroke.sets import KeystrokeSet, Person
from sidecar.evaluation.synthetic import typist
from sidecar.scoring import SHIPPED

COLUMNS = {"setting", "detector", "eer", "geer", "far_at_frr1", "far_at_frr5", "cllr", "ece", "subjects", "split"}


def event_set(folder: Path, people: int = 4, repetitions: int = 12) -> Path:
    """Seeded typists of a seven-key text, as key events."""
    lines = ["subject,session,rep,key_index,press_s,release_s"]
    for person in range(people):
        rng = np.random.default_rng(person)
        for rep in range(repetitions):
            for key, (down, hold) in enumerate(typist(person).login(rng, 7, enter=False)):
                lines.append(f"p{person},1,{rep},{key},{down / 1000:.4f},{(down + hold) / 1000:.4f}")
    file = folder / "letters.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["evaluate", "keystroke", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code
    return result.output


def users(*pairs: tuple[list[float], list[float]]) -> list[Scores]:
    return [Scores(np.array(genuine), np.array(impostor)) for genuine, impostor in pairs]


def test_figures_by_hand() -> None:
    measured = Measured(users(([0, 0, 0, 2], [1, 3]), ([10, 10, 10, 10], [11, 12])), llr=False)
    row, _ = figures(measured, weights(2, 1), None)
    assert row["eer"] == pytest.approx(0.125)  # .25 and 0
    assert row["far_at_frr1"] == pytest.approx(0.25)  # half of the first's two, none of the second's
    assert row["geer"] == pytest.approx(metrics.equal_error_rate(measured.genuine, measured.impostor))
    assert row["gfar_at_frr5"] == pytest.approx(0.5)
    assert row["users_above_10_frr"] == 0.5  # rejected from 10: all of the second's, none of the first's
    assert (row["subjects"], row["genuine"], row["impostor"]) == (2, 8, 4)
    assert row["cllr"] is None


def test_intervals_of_people_who_are_all_alike_have_no_width() -> None:
    rng = np.random.default_rng(1)
    one = Scores(rng.normal(-1, 1, 300), rng.normal(1, 1, 300))
    measured = Measured([one] * 6, llr=True)
    drawn = weights(6, 1)
    row, resampled = figures(measured, drawn, None)
    again, _ = figures(measured, drawn, resampled)
    intervals, paired = row["ci95"], again["against_scaled_manhattan"]
    assert isinstance(intervals, dict)
    assert isinstance(paired, dict)
    for name in ("eer", "geer", "far_at_frr1", "far_at_frr5", "cllr"):
        assert intervals[name] == pytest.approx([row[name], row[name]], abs=2e-3), name
    assert set(map(tuple, paired.values())) == {(0.0, 0.0)}


def test_a_resample_weighs_users() -> None:
    measured = Measured(users(([0.0], [1.0]), ([1.0], [0.0])), llr=False)
    drawn = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    _, resampled = figures(measured, drawn, None)
    assert resampled["eer"].tolist() == [0.0, 1.0, 0.5]
    assert resampled["geer"] == pytest.approx([0.0, 1.0, 0.5])


def test_charts_say_what_the_metrics_say() -> None:
    rng = np.random.default_rng(2)
    measured = Measured([Scores(rng.normal(-2, 2, 4000), rng.normal(2, 2, 3000))], llr=True)
    miss, alarm = det_points(measured)
    crossing = miss[np.argmin(np.abs(miss - alarm))]
    assert crossing == pytest.approx(metrics.equal_error_rate(measured.genuine, measured.impostor), abs=0.01)
    points = reliability_points(measured)
    assert len(points) == 15
    assert max(abs(said - found) for said, found in points) < 0.06  # these are true log-likelihood ratios


@pytest.mark.parametrize("model", BASELINES, ids=lambda model: model.name)
def test_baselines_find_the_stranger(model: Model) -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(100, 10, (40, 6))
    rows[:, 5] = 70.0  # constant
    rows[::7, 2] = np.nan
    fitted = model.fit(rows, np.zeros(6, dtype=np.uint8), 1)
    own = fitted.scores(np.column_stack([rng.normal(100, 10, (50, 5)), np.full(50, 70.0)]))
    stranger = fitted.scores(np.column_stack([rng.normal(150, 10, (50, 5)), np.full(50, 70.0)]))
    assert np.median(own) < np.median(stranger)
    assert metrics.equal_error_rate(own, stranger) < 0.1
    assert fitted.stored_bytes() > 0
    again = model.fit(rows, np.zeros(6, dtype=np.uint8), 1)
    assert again.scores(rows[1:2]).tolist() == fitted.scores(rows[1:2]).tolist()


def test_the_command_measures_any_text_in_the_event_layout(tmp_path: Path) -> None:
    file, rows_file, page_file = event_set(tmp_path), tmp_path / "k.json", tmp_path / "k.html"
    printed = run("--data", file, "--setting", "all", "-j", "1", "--json", rows_file, "--html", page_file)
    assert "letters km09: not applicable" in printed
    assert "letters cohort: not applicable" in printed
    rows = json.loads(rows_file.read_text())
    assert all(set(row) >= COLUMNS for row in rows)
    measured = [row for row in rows if row["status"] == "measured"]
    assert {row["setting"] for row in measured} == {"first-5", "first-10"}
    assert len({row["detector"] for row in measured}) >= 6
    shipped = next(row for row in measured if row["detector"] == "nearest-recent-2")
    assert shipped["subjects"] == 4
    assert 0 <= shipped["eer"] <= 0.5
    assert shipped["cllr"] > 0
    assert len(shipped["against_scaled_manhattan"]["geer"]) == 2
    html = page_file.read_text()
    assert "http:" not in html
    assert "https:" not in html
    assert "<script" not in html
    assert html.count("<svg") == 1 + 2 * 3  # error by samples; DET, reliability and people of two settings


def test_two_classes_as_papers_count_them_beside_people_they_never_saw(tmp_path: Path) -> None:
    file, rows_file, page_file = event_set(tmp_path, people=3, repetitions=20), tmp_path / "k.json", tmp_path / "k.html"
    chosen = ("--setting", "first-10", "--detector", "scaled-manhattan", "--baselines", "literature", "-j", "1")
    printed = run("--data", file, *chosen, "--json", rows_file, "--html", page_file)
    assert "Why this flatters" in printed
    rows = [row for row in json.loads(rows_file.read_text()) if row["setting"] == "literature"]
    assert {row["detector"] for row in rows} == set(CLASSIFIERS)
    for row in rows:
        assert set(row) >= COLUMNS
        assert row["published_accuracy"] == 0.962
        assert 0.5 < row["f1"] <= 1.0
        assert 0.5 < row["accuracy"] <= 1.0
        assert row["inference_ms"] > 0
        assert 0.0 <= row["unseen_false_accepts"] <= 1.0
        assert row["subjects"] == 3
    assert "As papers count: two classes" in page_file.read_text()


def test_two_classes_need_repetitions_of_others_to_make_more_from(tmp_path: Path) -> None:
    """Where the others have too few, that is said; where the known half has one, there is no honest figure."""
    lines = event_set(tmp_path, people=3, repetitions=20).read_text().splitlines()
    few = [line for line in lines if line.startswith(("subject", "p0")) or line.split(",")[2] == "0"]
    file, out = tmp_path / "few.csv", tmp_path / "k.json"
    file.write_text("\n".join(few))
    chosen = ("--setting", "first-5", "--detector", "scaled-manhattan", "--baselines", "literature", "-j", "1")
    run("--data", file, *chosen, "--json", out)
    rows = [row for row in json.loads(out.read_text()) if row["setting"] == "literature"]
    assert {row["status"] for row in rows} == {NOT_APPLICABLE}
    rng = np.random.default_rng(3)
    counts = (30, 30, 1)  # of the half that person 0 knows, one repetition
    people = tuple(
        Person(f"p{i}", rng.normal(100 + 9 * i, 2, (count, 6)), np.ones(count, dtype=np.int64))
        for i, count in enumerate(counts)
    )
    data = KeystrokeSet("made", "timings", np.zeros(6, dtype=np.uint8), np.zeros(6, dtype=np.uint8), people)
    found = play_paper(data, 0, "svm-two-class", 1)
    assert (found.unseen_false_accepts, found.unseen_false_rejects) == (None, None)
    assert found.accuracy > 0.5


def test_whoever_looks_like_the_known_half_gets_in_where_papers_see_no_error(tmp_path: Path) -> None:
    """Two strangers type much as the owner does and are not in the half that is learned; cross-validation knows them."""
    rng = np.random.default_rng(4)
    shift = {0: 0.0, 1: 3.0, 2: -40.0, 3: 3.0, 4: 60.0, 5: 40.0}
    kinds, extra = np.zeros(6, dtype=np.uint8), np.zeros(6, dtype=np.uint8)
    people = tuple(
        Person(f"p{i}", rng.normal(100 + by, 1.0, (30, 6)), np.ones(30, dtype=np.int64)) for i, by in shift.items()
    )
    data = KeystrokeSet("made", "timings", kinds, extra, people)
    found = play_paper(data, 0, "random-forest-two-class", 1)
    assert found.accuracy > 0.9
    assert found.unseen_false_accepts is not None
    assert found.unseen_false_accepts > 1 - found.accuracy


@pytest.mark.parametrize(
    ("setting", "people", "repetitions"), [("first-5", 3, 8), ("cold-10-confirmed", 3, 100), ("cohort", 15, 400)]
)
def test_processes_do_not_change_a_figure(tmp_path: Path, setting: str, people: int, repetitions: int) -> None:
    """Neither where attempts are drawn, nor where each process learns the backgrounds that it needs."""
    file = event_set(tmp_path, people=people, repetitions=repetitions)
    found = []
    for jobs in ("1", "2"):
        out = tmp_path / f"{jobs}.json"
        run("--data", file, "--setting", setting, "--baselines", "none", "-j", jobs, "--json", out)
        rows = [row for row in json.loads(out.read_text()) if row["status"] == "measured"]
        found.append([{k: v for k, v in row.items() if not k.endswith("_ms")} for row in rows])
    assert found[0]
    assert found[0] == found[1]


def test_scaled_manhattan_is_always_measured(tmp_path: Path) -> None:
    file, out = event_set(tmp_path), tmp_path / "k.json"
    run(
        "--data",
        file,
        "--setting",
        "first-10",
        "--detector",
        "autoencoder",
        "--baselines",
        "none",
        "-j",
        "1",
        "--json",
        out,
    )
    assert {row["detector"] for row in json.loads(out.read_text())} == {"autoencoder", "scaled-manhattan"}


def incomparable(folder: Path, from_rep: int) -> Path:
    """Two people whose logins change from holds to down-downs: nothing later can be compared with the first five."""
    lines = ["subject,sessionIndex,rep,H.a,DD.a.b"]
    for person in range(2):
        rng = np.random.default_rng(person)
        for rep in range(1, 13):
            hold, step = (round(float(each), 4) for each in rng.normal(0.1 + person / 20, 0.01, 2))
            lines.append(f"p{person},1,{rep},{hold}," if rep < from_rep else f"p{person},1,{rep},,{step}")
    file = folder / "set.csv"
    file.write_text("\n".join(lines))
    return file


def test_logins_that_cannot_be_compared_are_counted_and_end_nothing(tmp_path: Path) -> None:
    out = tmp_path / "k.json"
    chosen = (
        "--setting",
        "first-5",
        "--baselines",
        "standard",
        "-j",
        "1",
        "--json",
        out,
        "--html",
        tmp_path / "k.html",
    )
    run("--data", incomparable(tmp_path, 9), *chosen)
    rows = json.loads(out.read_text())
    assert {(row["status"], row["genuine"], row["impostor"], row["failed"]) for row in rows} == {("measured", 6, 10, 8)}


def test_where_nobody_can_be_compared_the_row_says_so_and_the_exit_code_too(tmp_path: Path) -> None:
    out, page = tmp_path / "k.json", tmp_path / "k.html"
    chosen = ("--setting", "first-5", "--baselines", "standard", "-j", "1", "--json", out, "--html", page)
    printed = run("--data", incomparable(tmp_path, 6), *chosen, code=1)
    assert "set first-5, nearest-recent-2: failed: fewer than two people could be scored" in printed
    rows = json.loads(out.read_text())
    assert {row["status"][:6] for row in rows} == {"failed"}
    assert all(row["eer"] is None for row in rows)
    assert "failed: fewer than two" in page.read_text()


def test_a_block_that_only_one_person_reaches_is_not_applicable(tmp_path: Path) -> None:
    lines = event_set(tmp_path, people=3, repetitions=200).read_text().splitlines()
    kept = [line for line in lines if line.startswith(("subject", "p0")) or int(line.split(",")[2]) < 110]
    file, out = tmp_path / "unequal.csv", tmp_path / "k.json"
    file.write_text("\n".join(kept))
    chosen = ("--setting", "cold-10-confirmed", "--detector", "scaled-manhattan", "--baselines", "none", "-j", "1")
    run("--data", file, *chosen, "--json", out)
    said = {row["setting"]: row["status"] for row in json.loads(out.read_text())}
    assert said["cold-10-confirmed"] == "measured"
    assert said["cold-10-confirmed 101-200"].startswith("not applicable")


def test_a_broken_set_does_not_stop_the_others(tmp_path: Path) -> None:
    """Results are written, the broken file and its line are named, and the exit code is 1."""
    (tmp_path / "good").mkdir()
    event_set(tmp_path / "good", people=3, repetitions=8)
    (tmp_path / "Broken").mkdir()
    (tmp_path / "Broken" / "B.CSV").write_text("subject,session,rep,key_index,press_s,release_s\na,1,1,1,fast,2\n")
    out, page = tmp_path / "k.json", tmp_path / "k.html"
    chosen = ("--setting", "first-5", "--baselines", "none", "-j", "1", "--json", out, "--html", page)
    printed = run("--data", tmp_path, *chosen, code=1)
    assert "B.CSV:2: press_s is 'fast', not a finite number" in printed
    assert {row["set"] for row in json.loads(out.read_text())} == {"good"}
    assert "B.CSV:2" in page.read_text()


def test_what_was_measured_is_kept_when_a_later_set_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        event_set(tmp_path / name, people=3, repetitions=8)
    real, out = run_module._of_set, tmp_path / "k.json"
    out.write_text("old")

    def interrupted(work: Work, data: int, *more: object) -> Iterator[Part]:
        if data == 1:
            raise KeyboardInterrupt
        return real(work, data, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(run_module, "_of_set", interrupted)
    run("--data", tmp_path, "--setting", "first-5", "--baselines", "none", "-j", "1", "--json", out, code=130)
    assert {row["set"] for row in json.loads(out.read_text())} == {"one"}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["k.json", "one", "two"]


def group(number: int) -> set[int]:
    """Processes of a process group that run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(") ")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(after_name[2]) == number and after_name[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def test_a_terminated_command_leaves_no_process_behind(tmp_path: Path) -> None:
    file = event_set(tmp_path, people=12, repetitions=120)
    command = [
        sys.executable,
        *["-m", "sidecar", "evaluate", "keystroke", "--setting", "all", "-j", "2", "--data"],
        str(file),
    ]
    running = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 60
        while len(group(running.pid)) < 4 and time.monotonic() < until:  # itself, two that score, one that tracks
            time.sleep(0.1)
        assert len(group(running.pid)) >= 4
        running.terminate()
        printed, _ = running.communicate(timeout=60)
        assert running.returncode == 130
        assert b"interrupted" in printed
        while group(running.pid) and time.monotonic() < until:
            time.sleep(0.1)
        assert not group(running.pid)
    finally:
        for left in group(running.pid):
            os.kill(left, signal.SIGKILL)


def test_the_terminal_shows_costs_and_where_constants_come_from(tmp_path: Path) -> None:
    printed = run("--data", event_set(tmp_path), "--setting", "first-10", "--baselines", "none", "-j", "1")
    for word in ("min Cllr", "people over 10% FRR", "score, ms", "bytes", "split "):
        assert word in printed, word
    assert "letters, nearest-recent-2: constants: scale prior and calibration: CMU" in printed
    assert "WARNING" not in printed


def test_an_aim_that_is_missed_ends_with_1(tmp_path: Path) -> None:
    chosen = ("--setting", "first-10", "--baselines", "none", "-j", "1", "--require")
    run("--data", event_set(tmp_path), *chosen)  # no aim for it
    printed = run("--data", tmp_path, *chosen, "--setting", "km09", code=1)
    assert "missed: km09: not measured with nearest-recent-2" in printed
    row = {"set": "cmu", "setting": "cohort", "detector": SHIPPED, "status": "measured"}
    reached: Row = row | AIMS["cohort"]
    assert missed([reached], ["cohort"]) == []
    for name in AIMS["cohort"]:
        (sentence,) = missed([reached | {name: AIMS["cohort"][name] + 1e-6}], ["cohort"])
        assert sentence.startswith(f"cmu cohort: {name}")
    yardstick: Row = {"set": "cmu", "setting": "km09", "detector": YARDSTICK, "status": "measured", "eer": 0.0962}
    ours: Row = {**row, **AIMS["km09"], "setting": "km09"}
    assert missed([yardstick, ours], ["km09"]) == []
    assert "as published" in missed([yardstick | {"eer": 0.0963}, ours], ["km09"])[0]


def test_the_det_chart_is_a_picture_of_its_own(tmp_path: Path) -> None:
    file, picture = event_set(tmp_path), tmp_path / "det.svg"
    run("--data", file, "--setting", "first-10", "--baselines", "none", "-j", "1", "--det", picture)
    root = ElementTree.fromstring(picture.read_text())  # noqa: S314 - our own
    words = " ".join(root.itertext())
    assert "letters first-10: 4 people" in words
    assert "nearest-recent-2: EER" in words
    assert "scaled-manhattan: EER" in words
    assert sum("curve" in each.get("class", "") for each in root.iter()) == 4  # two curves, two names beside them
    with pytest.raises(BadRequest, match="no DET curve"):
        run("--data", file, "--setting", "km09", "--baselines", "none", "-j", "1", "--det", picture)


def test_a_folders_name_is_text_in_the_report(tmp_path: Path) -> None:
    folder = tmp_path / "<b>set"
    folder.mkdir()
    event_set(folder, people=3, repetitions=8)
    page = tmp_path / "k.html"
    run(
        "--data",
        folder,
        "--setting",
        "first-5",
        "--detector",
        "nearest-recent-1",
        "--baselines",
        "none",
        "-j",
        "1",
        "--html",
        page,
    )
    assert "<b>set" not in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--setting", "km10"), "no setting 'km10'"),
        (("--detector", "oracle"), "no detector 'oracle'"),
        (("--baselines", "papers"), "baselines are standard, literature, none"),
        (("--json", "/nowhere/k.json"), "no such folder"),
    ],
)
def test_wrong_choices_are_named(tmp_path: Path, arguments: tuple[str, str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        run("--data", event_set(tmp_path, people=2, repetitions=6), *arguments)
