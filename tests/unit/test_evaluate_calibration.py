"""``gaitkeeper evaluate calibration``: a job that may be killed anywhere counts every decision once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.errors import BadRequest
from sidecar.evaluation import recalibration
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.recalibration import count
from sidecar.scoring.recalibrate import Tally


def lines(total: int, offset: float = 0.0, seed: int = 3) -> str:
    rng = np.random.default_rng(seed)
    own = rng.random(total) < 0.5
    llrs = rng.normal(np.where(own, -2.0, 2.0), 2.0) - offset
    return "".join(
        json.dumps({"llr": round(float(a), 4), "own": bool(b)}) + "\n" for a, b in zip(llrs, own, strict=True)
    )


def run(decisions: Path, state: Path) -> str:
    arguments = ["evaluate", "calibration", "--decisions", str(decisions), "--state", str(state)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_command_counts_what_is_new_and_says_what_would_put_it_right(tmp_path: Path) -> None:
    file, state = tmp_path / "decisions.jsonl", tmp_path / "state.json"
    file.write_text(lines(100))
    assert "too few to say anything" in run(file, state)
    with file.open("a") as stream:
        stream.write(lines(9900, offset=1.0) + '{"llr": 1.0, "ow')  # a line that is still being written
    printed = run(file, state)
    assert "offset +0.8" in printed or "offset +0.9" in printed or "offset +1.0" in printed
    before = state.read_text()
    assert run(file, state) == printed
    assert state.read_text() == before


def test_killed_again_and_again_it_counts_every_decision_once(tmp_path: Path) -> None:
    file, state = tmp_path / "decisions.jsonl", tmp_path / "state.json"
    total = 60_000
    file.write_text(lines(total))
    program = (
        "from pathlib import Path; from sidecar.evaluation.recalibration import count;"
        f"print('begun', flush=True); count(Path({str(file)!r}), Path({str(state)!r})); print('done', flush=True)"
    )
    kills = 0
    for _ in range(60):
        job = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert job.stdout is not None
        assert job.stdout.readline() == "begun\n"
        if kills < 3:
            seen = state.stat().st_mtime_ns if state.exists() else 0
            while job.poll() is None and (state.stat().st_mtime_ns if state.exists() else 0) == seen:
                time.sleep(0.001)
            os.kill(job.pid, signal.SIGKILL)
        job.wait()
        kills += job.returncode == -signal.SIGKILL
        job.stdout.close()
        if job.returncode == 0:
            break
    assert kills >= 1
    found = Tally.of(json.loads(state.read_text()))
    assert found.own.sum() + found.strange.sum() == total
    once = count(file, tmp_path / "fresh.json")
    assert once.plain() == found.plain()


@pytest.mark.parametrize(
    "line", ["{}", "[1]", '{"llr": true, "own": true}', '{"llr": 1, "own": 1}', '{"llr": NaN, "own": true}']
)
def test_a_line_that_is_no_decision_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_text(lines(2) + line + "\n")
    with pytest.raises(DatasetInvalid, match=r"line before byte \d+"):
        count(file, tmp_path / "state.json")


def test_a_file_that_shrank_and_a_broken_state_are_refused(tmp_path: Path) -> None:
    file, state = tmp_path / "decisions.jsonl", tmp_path / "state.json"
    file.write_text(lines(50))
    count(file, state)
    file.write_text(lines(10))
    with pytest.raises(DatasetInvalid, match="shorter than"):
        count(file, state)
    state.write_text("{}")
    with pytest.raises(DatasetInvalid, match="not a tally"):
        count(file, state)
    with pytest.raises(DatasetInvalid, match="No such file"):
        count(tmp_path / "none.jsonl", tmp_path / "s.json")


def test_a_change_that_is_no_matter_of_calibration_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_text(lines(6000, offset=-3.5))
    with pytest.raises(BadRequest, match="outside what a recalibration may do"):
        recalibration.run_recalibration(decisions=file, state=tmp_path / "state.json")
