"""Metrics, data set reading, the login protocol and synthetic typists, all without anybody's data."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sidecar.domain.biometrics import Sample
from sidecar.evaluation import login_protocol, metrics, synthetic, trials
from sidecar.evaluation.datasets import (
    CMU_FILE,
    DatasetInvalid,
    browser_view,
    laboratory_view,
    load_cmu,
)
from sidecar.evaluation.login_protocol import Window
from sidecar.features.keystroke import positions_kinds
from sidecar.scoring import DETECTORS, SHIPPED
from sidecar.scoring.calibration import CHALLENGE_LLR, to_llr

KEYS = ["period", "t", "i", "e", "five", "Shift.r", "o", "a", "n", "l"]
HEADER = ",".join(
    ["subject", "sessionIndex", "rep"]
    + [f"{kind}.{name}" for a, b in zip(KEYS, [*KEYS[1:], "Return"], strict=True)
       for kind, name in (("H", a), ("DD", f"{a}.{b}"), ("UD", f"{a}.{b}"))]
    + ["H.Return"]
)  # fmt: skip


def cmu_lines(subjects: int = 1) -> list[str]:
    lines = [HEADER]
    for number in range(subjects):
        rng = np.random.default_rng(number)
        person = synthetic.typist(number)
        for rep in range(400):
            rows = person.login(rng, 10)
            probe = synthetic.probe_of(rows).values / 1000
            lines.append(
                ",".join([f"s{number:03}", str(rep // 50 + 1), str(rep % 50 + 1), *map(repr, probe.tolist()), "0.08"])
            )
    return lines


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("cmu")
    (folder / CMU_FILE).write_text("\n".join(cmu_lines(8)), encoding="utf-8")
    return load_cmu(folder)


def test_loader_and_views(data: dict[str, np.ndarray]) -> None:
    assert sorted(data) == [f"s{i:03}" for i in range(8)]
    block = data["s000"]
    assert block.shape == (400, 31)
    assert (block[:, 30] == 80.0).all()
    np.testing.assert_allclose(browser_view(block), block[:, :30], atol=1e-9)
    values, kinds = laboratory_view(block)
    assert values.shape == (400, 31)
    assert kinds.tolist() == [0, 1, 2] * 10 + [0]
    with pytest.raises(ValueError, match="31 columns"):
        browser_view(block[:, :30])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda lines: ["subject,rep", *lines[1:]], "header"),
        (lambda lines: lines[:1], "holds no repetition"),
        (lambda lines: lines[:-1], "lacks some"),
        (lambda lines: [*lines[:5], lines[5].replace("0.0", "x", 1), *lines[6:]], "not a number"),
        (lambda lines: [*lines, lines[-1].replace(",8,50,", ",9,1,")], "not 31 timings"),
        (lambda lines: [*lines, lines[-1] + ",1.0"], "not 31 timings"),
        (lambda lines: [*lines, "short"], "not a number"),
        (lambda _: [], "header"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, change: object, text: str) -> None:
    assert callable(change)
    (tmp_path / CMU_FILE).write_text("\n".join(change(cmu_lines())), encoding="utf-8")
    with pytest.raises(DatasetInvalid, match=text):
        load_cmu(tmp_path / CMU_FILE)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalid, match=CMU_FILE) as caught:
        load_cmu(tmp_path)
    assert caught.value.code == "dataset_invalid"
    (tmp_path / CMU_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetInvalid):
        load_cmu(tmp_path)


def test_equal_error_rate_known_answers() -> None:
    a = np.array
    assert metrics.equal_error_rate(a([1.0, 2]), a([3.0, 4])) == 0.0
    assert metrics.equal_error_rate(a([3.0, 4]), a([1.0, 2])) == pytest.approx(1.0)
    assert metrics.equal_error_rate(a([1.0, 2, 3, 4]), a([2.5, 3.5, 4.5, 5.5])) == pytest.approx(0.25)
    assert metrics.equal_error_rate(a([1.0]), a([1.0])) == pytest.approx(0.5)
    # genuine 0 1 2, impostors 1.5 3: at 1.5 (miss 0, alarm 1/3), at 2 (1/2, 1/3); they meet at 1/3
    assert metrics.equal_error_rate(a([0.0, 1, 2]), a([1.5, 3])) == pytest.approx(1 / 3)


def test_miss_at_false_alarm() -> None:
    genuine, impostor = np.arange(100.0), np.arange(50.0, 150.0)
    assert metrics.miss_at_false_alarm(genuine, impostor, 0.05) == pytest.approx(0.45)
    with pytest.raises(ValueError, match="rate"):
        metrics.miss_at_false_alarm(genuine, impostor, 1.5)


def test_calibration_figures() -> None:
    zero = np.zeros(30)
    assert metrics.cllr(zero, zero) == pytest.approx(1.0)
    assert metrics.min_cllr(zero, zero) == pytest.approx(1.0, abs=1e-6)
    assert metrics.expected_calibration_error(zero, zero) == pytest.approx(0.0)
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(-2, 2, 20000), rng.normal(2, 2, 20000)  # true LLR of this pair is the value itself
    assert metrics.cllr(genuine, impostor) - metrics.min_cllr(genuine, impostor) < 0.01
    assert metrics.expected_calibration_error(genuine, impostor) < 0.01
    assert metrics.expected_calibration_error(3 * genuine + 4, 3 * impostor + 4) > 0.1
    assert metrics.min_cllr(3 * genuine + 4, 3 * impostor + 4) == pytest.approx(metrics.min_cllr(genuine, impostor))


@pytest.mark.parametrize("bad", [np.empty(0), np.array([np.nan]), np.ones((2, 2))])
def test_metrics_refuse_what_they_cannot_rank(bad: np.ndarray) -> None:
    for figure in (metrics.equal_error_rate, metrics.cllr, metrics.min_cllr, metrics.expected_calibration_error):
        with pytest.raises(ValueError, match="finite"):
            figure(bad, np.ones(3))


def test_the_tables_of_the_rehearsal_are_printed(data: dict[str, np.ndarray]) -> None:
    """Scaled Manhattan gets a threshold of the same aim: it challenges the same share where thresholds are chosen."""
    rows = login_protocol.table(data)
    assert [row["detector"] for row in rows[:3]] == [SHIPPED, "nearest-recent-1", "scaled-manhattan"]
    assert len(rows) == 3 + len(login_protocol.BRAND_NEW)
    plain = DETECTORS["scaled-manhattan"]
    limit = login_protocol.same_aim(data, plain, 0.1)
    windows = [login_protocol.score(data, plain, window=w, scale="distance").genuine for w in login_protocol.CHOICE]
    assert np.mean(np.concatenate(windows) > limit) <= 0.1 <= np.mean(np.concatenate(windows) >= limit)


def test_login_protocol_counts_and_separates(data: dict[str, np.ndarray]) -> None:
    found = login_protocol.run(data, DETECTORS[SHIPPED], CHALLENGE_LLR)
    assert (found["subjects"], found["decisions"]) == (8, 8 * (10 + 7 + 7))
    assert float(found["genuine_challenged"]) <= 0.10
    assert float(found["impostor_first_challenged"]) >= 0.95
    assert float(found["impostor_practised_challenged"]) >= 0.95
    assert found == login_protocol.run(data, DETECTORS[SHIPPED], CHALLENGE_LLR)
    plain = login_protocol.run(
        data, DETECTORS["scaled-manhattan"], 1e9, window=Window((1, 5), (6, 7), 2, 3), scale="distance"
    )
    assert plain["genuine_challenged"] == plain["impostor_first_challenged"] == 0.0
    assert plain["decisions"] == 8 * (2 + 7 + 7)


def test_trials_read_only_the_first_200(data: dict[str, np.ndarray]) -> None:
    hidden = {name: np.where(np.arange(400)[:, None] < 200, block, np.nan) for name, block in data.items()}
    designs = (trials.span(4, 3), trials.sixteen(), trials.summary())
    found = list(trials.cells(dict(list(hidden.items())[:3]), DETECTORS[SHIPPED], designs))
    assert {cell.design.features for cell in found} == {12, 48, 21}
    assert all(np.isfinite(cell.genuine).all() and np.isfinite(cell.impostor).all() for cell in found)


def llrs(template_of: int, of: int, samples: int, tries: int) -> list[float]:
    kinds = positions_kinds(12)
    rng = np.random.default_rng([template_of, samples])
    own = synthetic.typist(template_of)
    past = [Sample(synthetic.probe_of(own.login(rng, 12)).values, float(i)) for i in range(samples)]
    detector = DETECTORS[SHIPPED]
    template = detector.enroll(past, kinds, "positions")
    fresh = np.random.default_rng([99, of, template_of])
    probes = [synthetic.probe_of(synthetic.typist(of).login(fresh, 12)).values for _ in range(tries)]
    distances = detector.distances(template, np.stack(probes))
    return [to_llr(float(d), features=36, samples=samples, layout="positions", detector=SHIPPED) for d in distances]


@pytest.mark.parametrize("samples", [12, 15])
def test_synthetic_people_are_accepted_as_themselves_and_told_apart(samples: int) -> None:
    people = range(20)
    genuine = [x for one in people for x in llrs(one, one, samples, 10)]
    strangers = [x for one in people for two in people if one != two for x in llrs(one, two, samples, 2)]
    assert np.mean(np.array(genuine) < CHALLENGE_LLR) > 0.90
    assert np.mean(np.array(strangers) >= CHALLENGE_LLR) > 0.95


def test_synthetic_logins_are_plausible_and_repeatable() -> None:
    person = synthetic.typist(3)
    assert np.array_equal(person.hold, synthetic.typist(3).hold)
    rows = person.login(np.random.default_rng(0), 12)
    np.testing.assert_array_equal(rows, synthetic.typist(3).login(np.random.default_rng(0), 12))
    assert len(rows) == 13
    assert rows[0][0] == 0.0
    assert np.isnan(rows[-1][1])
    downs = [down for down, _ in rows]
    assert all(later - earlier >= 15.0 - 0.1 for earlier, later in pairwise(downs))
    without = person.login(np.random.default_rng(0), 12, enter=False)
    assert len(without) == 12
    assert np.isnan(synthetic.probe_of(without, enter=False).values[-2:]).all()
    for n in (0, 65):
        with pytest.raises(ValueError, match="n_chars"):
            person.login(np.random.default_rng(0), n)
    with pytest.raises(ValueError, match="no character"):
        synthetic.probe_of(rows[:1])
