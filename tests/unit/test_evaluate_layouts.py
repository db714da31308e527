"""Reading fixed-text sets: three layouts, folders, and messages that name file and line."""

from pathlib import Path

import numpy as np
import pytest

from sidecar.domain.biometrics import Kind
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke.discovery import find_sets
from sidecar.evaluation.keystroke.sets import Extra, KeystrokeSet

HEADER = "subject,sessionIndex,rep,H.a,DD.a.b,UD.a.b,H.b"


def read(folder: Path, text: str) -> KeystrokeSet:
    file = folder / "set.csv"
    file.write_text(text)
    (made,), passed = find_sets(file)
    assert passed == []
    return made


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(DatasetInvalid) as caught:
        read(folder, text)
    return caught.value.message.removeprefix(str(folder))


def columns(data: KeystrokeSet, person: int = 0) -> dict[int, list[list[float]]]:
    return {
        int(kind): data.people[person].values[:, data.kinds == kind].round(3).tolist()
        for kind in Kind
        if kind <= Kind.UP_DOWN
    }


def test_timings_become_milliseconds_and_up_down_is_recomputed(tmp_path: Path) -> None:
    data = read(tmp_path, f"{HEADER}\ns1,1,1,.100,.250,.999,.080\n")
    assert columns(data) == {0: [[100.0, 80.0]], 1: [[250.0]], 2: [[150.0]]}


def test_repetitions_are_ordered_by_session_and_rep(tmp_path: Path) -> None:
    rows = ["s1,2,1,.3,.1,.1,.1", "s1,1,2,.2,.1,.1,.1", "s2,1,1,.9,.1,.1,.1", "s1,1,1,.1,.1,.1,.1"]
    data = read(tmp_path, "\n".join([HEADER, *rows]))
    assert [person.name for person in data.people] == ["s1", "s2"]
    assert data.people[0].values[:, 0].tolist() == [100.0, 200.0, 300.0]
    assert data.people[0].sessions.tolist() == [1, 1, 2]


def test_up_down_or_hold_may_be_missing(tmp_path: Path) -> None:
    without = read(tmp_path, "subject,sessionIndex,rep,H.a,DD.a.b,H.b\ns1,1,1,.1,.25,.08\n")
    assert columns(without)[2] == [[150.0]]
    steps = read(tmp_path, "subject,sessionIndex,rep,DD.a.b,DD.b.c\ns1,1,1,.25,.3\n")
    assert columns(steps) == {0: [[]], 1: [[250.0, 300.0]], 2: [[]]}
    gaps = read(tmp_path, "subject,sessionIndex,rep,H.a,UD.a.b,H.b\ns1,1,1,.1,.15,.08\n")
    assert columns(gaps)[1] == [[250.0]]


def test_an_empty_cell_is_a_missing_timing(tmp_path: Path) -> None:
    data = read(tmp_path, f"{HEADER}\ns1,1,1,,.250,.150,.080\n")
    assert np.isnan(data.people[0].values[0, [0, 3]]).all()
    assert data.people[0].values[0, 1:3].tolist() == [80.0, 250.0]


def test_key_events_of_the_same_typing_are_the_same_set(tmp_path: Path) -> None:
    timings = read(tmp_path, f"{HEADER}\ns1,1,1,.100,.250,.150,.080\n")
    lines = ["subject,session,rep,key_index,press_s,release_s", "s1,1,1,2,7.250,7.330", "s1,1,1,1,7.000,7.100"]
    events = read(tmp_path, "\n".join(lines))
    assert columns(events) == columns(timings)
    assert events.kinds.tolist() == timings.kinds.tolist()


def test_key_events_may_have_pressure_and_size_and_lack_a_release(tmp_path: Path) -> None:
    lines = [
        "subject,session,rep,key_index,press_s,release_s,size,pressure",
        "s1,1,1,0,0,,.3,.5",
        "s1,1,1,1,.2,.3,.4,.6",
    ]
    data = read(tmp_path, "\n".join(lines))
    assert data.extra.tolist() == [0, 0, 0, 0, Extra.PRESSURE, Extra.PRESSURE, Extra.SIZE, Extra.SIZE]
    assert np.isnan(data.people[0].values[0, 0])
    assert data.people[0].values[0, -4:].tolist() == [0.5, 0.6, 0.3, 0.4]


def test_meu_columns_are_milliseconds_with_repeated_names(tmp_path: Path) -> None:
    header = "Subject,Hold a,Hold a,DD a.a,UD a.a,Pressure a,Pressure a,Size a,Size a,AvH,AvP,AvA"
    data = read(tmp_path, f"{header}\n1,90,80,240,150,.1,.2,.3,.4,85,.15,.35\n1,91,81,240,149,.1,.2,.3,.4,86,.15,.35\n")
    assert columns(data) == {
        0: [[90.0, 80.0, 0.1, 0.2, 0.3, 0.4], [91.0, 81.0, 0.1, 0.2, 0.3, 0.4]],
        1: [[240.0], [240.0]],
        2: [[150.0], [149.0]],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER}\ns1,1,1,.1,.2,.1,.1\ns1,1,2,.1,x,.1,.1\n", "/set.csv:3: DD.a.b is 'x', not a finite number"),
        (f"{HEADER}\ns1,1,1,.1,inf,.1,.1\n", "/set.csv:2: DD.a.b is 'inf', not a finite number"),
        (f"{HEADER}\ns1,1,one,.1,.2,.1,.1\n", "/set.csv:2: rep is 'one', not a whole number"),
        (f"{HEADER}\ns1,1,1,.1,.2,.1\n", "/set.csv:2: 6 cells where the header has 7"),
        (
            f"{HEADER}\ns1,1,1,.1,.2,.1,.1\ns1,1,1,.1,.2,.1,.1\n",
            "/set.csv:3: subject s1 session 1 rep 1 is there twice",
        ),
        (f"{HEADER}\ns1,1,1,,,,\n", "/set.csv: subject s1 session 1 rep 1 has no timing at all"),
        (f"{HEADER}\n", "/set.csv: holds no repetition"),
        (
            f"{HEADER}\ns1,1,1,90000,250000,150000,80000\n",
            "/set.csv: the median timing is 90000 s; are these milliseconds?",
        ),
        (f"{HEADER},speed\n", "/set.csv:1: columns after rep must begin with H., DD. or UD., not ['speed']"),
        (
            "subject,session,rep,key_index,press_s,release_s\ns,1,1,1,2,1\n",
            "/set.csv:2: released before it was pressed",
        ),
        (
            "subject,session,rep,key_index,press_s,release_s\ns,1,1,1,1,2\ns,1,1,1,1,2\n",
            "/set.csv:3: key_index 1 is there twice in this repetition",
        ),
        ("P,'f',1653420520415328000\n", "/set.csv:1: the header is of no known layout (docs/evaluation.md lists them)"),
        ("", "/set.csv:1: the header is of no known layout (docs/evaluation.md lists them)"),
    ],
)
def test_bad_input_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text) == message


def test_a_folder_of_sets_is_searched_and_says_what_it_passes_over(tmp_path: Path) -> None:
    for name in ("alpha", "beta", "strange"):
        (tmp_path / name).mkdir()
    text = f"{HEADER}\ns1,1,1,.1,.2,.1,.1\n"
    (tmp_path / "alpha" / "data.csv").write_text(text)
    (tmp_path / "beta" / "one.csv").write_text(text)
    (tmp_path / "beta" / "two.csv").write_text(text)
    (tmp_path / "strange" / "text.csv").write_text("P,'f',16\n")
    sets, passed = find_sets(tmp_path)
    assert [each.name for each in sets] == ["alpha", "beta/one", "beta/two"]
    assert passed == ["strange: 1 file of no known fixed-text layout"]
    (alone,), _ = find_sets(tmp_path / "alpha")
    assert alone.name == "alpha"
    assert alone.digest == sets[0].digest


def test_a_place_without_a_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetInvalid, match="no file of a known layout"):
        find_sets(tmp_path)
    with pytest.raises(DatasetInvalid, match="no such file or folder"):
        find_sets(tmp_path / "nowhere")
    binary = tmp_path / "set.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetInvalid, match=r"set\.csv"):
        find_sets(binary)
