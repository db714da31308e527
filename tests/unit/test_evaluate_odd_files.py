"""Sets that are odd but plausible are measured, or the row says why not; nothing ends in a traceback or a NaN."""

import json
import math
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.domain.biometrics import Floats

ODDITIES = ("zero holds", "constant", "pauses", "negative", "gaps", "many gaps", "shuffled", "milliseconds", "words")


def typing(rng: np.random.Generator, keys: int, odd: set[str]) -> tuple[Floats, Floats]:
    """Holds and steps of one repetition, in seconds."""
    hold, step = np.abs(rng.normal(0.1, 0.02, keys)), 0.2 * np.exp(rng.normal(0, 0.3, keys))
    if "constant" in odd:
        hold, step = np.full(keys, 0.1), np.full(keys, 0.2)
    if "zero holds" in odd:
        hold = np.zeros(keys)
    if "pauses" in odd and rng.random() < 0.2:
        step[0] = 4000.0
    if "negative" in odd:
        step[-1] = -0.02
    return hold, step


def written(folder: Path, layout: str, people: list[int], keys: int, odd: set[str], seed: int) -> Path:
    """A file of people with so many repetitions each."""
    rng = np.random.default_rng(seed)
    unit, missing = 1000 if "milliseconds" in odd else 1, 0.02 * ("gaps" in odd) + 0.6 * ("many gaps" in odd)

    def cell(value: float) -> str:
        return rng.choice(["", "NA", "NaN"]) if rng.random() < missing else f"{value * unit:.4f}"

    lines = []
    for person, repetitions in enumerate(people):
        for rep in range(repetitions):
            hold, step = typing(rng, keys, odd)
            session = f"day{rep % 3}" if "words" in odd else f"{rep % 3}.0"
            if layout == "timings":
                cells = [*map(cell, hold), *map(cell, step[:-1])]
                lines.append(",".join([f" {person} ", session, f"{rep}", *cells]))
            else:
                press = np.concatenate([[0.0], np.cumsum(step[:-1])]) + 1e5
                ends = [cell(float(each)) for each in press + hold]
                lines += [f"{person},{session},{rep},{key},{press[key] * unit:.4f},{ends[key]}" for key in range(keys)]
    if "shuffled" in odd:
        random.Random(seed).shuffle(lines)
    names = [f"H.{key}" for key in range(keys)] + [f"DD.{key}" for key in range(keys - 1)]
    head = ["subject", "sessionIndex", "rep", *names]
    if layout == "events":
        head = ["subject", "session", "rep", "key_index", "press_s", "release_s"]
    file = folder / "odd.csv"
    file.write_text("\n".join([",".join(head), *lines]))
    return file


@settings(deadline=None, max_examples=12, derandomize=True)
@given(
    st.sampled_from(["timings", "events"]),
    st.lists(st.sampled_from([1, 2, 6, 7, 12, 22]), min_size=1, max_size=3),
    st.sampled_from([2, 3, 9, 200]),
    st.sets(st.sampled_from(ODDITIES), max_size=4),
    st.integers(0, 99),
)
def test_odd_but_plausible_sets_are_measured(
    layout: str, people: list[int], keys: int, odd: set[str], seed: int
) -> None:
    with TemporaryDirectory() as name:
        file, out = written(Path(name), layout, people, keys, odd, seed), Path(name) / "k.json"
        rest = ("--setting", "all", "-j", "1", "--json", out, "--html", out.with_suffix(".html"))
        result = CliRunner().invoke(
            app, ["evaluate", "keystroke", "--data", str(file), *map(str, rest)], catch_exceptions=False
        )
        rows = json.loads(out.read_text())
    failed = [row for row in rows if row["status"].startswith("failed")]
    assert result.exit_code == bool(failed)
    assert {row["setting"] for row in rows} >= {"km09", "first-5", "first-10", "first-20"}
    for row in rows:
        numbers = [value for value in row.values() if isinstance(value, float)]
        assert all(math.isfinite(value) for value in numbers), row
    if sum(count > 5 for count in people) > 1 and "many gaps" not in odd:
        assert any(row["status"] == "measured" for row in rows)


def test_a_text_of_one_key_is_a_set_too(tmp_path: Path) -> None:
    """One column: a covariance is a number then."""
    file, out = written(tmp_path, "events", [8, 8], 1, set(), 3), tmp_path / "k.json"
    arguments = ["evaluate", "keystroke", "--data", str(file), "--setting", "first-5", "-j", "1", "--detector", "all"]
    assert CliRunner().invoke(app, [*arguments, "--json", str(out)], catch_exceptions=False).exit_code == 0
    assert {row["status"] for row in json.loads(out.read_text())} == {"measured"}
