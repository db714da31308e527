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
    (made,), passed, refused = find_sets(file)
    assert (passed, refused) == ([], [])
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
            f"{HEADER}\ns1,1,1,.1,.2,.1,.1\ns1,1,1,.1,.3,.1,.1\n",
            "/set.csv:3: subject s1 session 1 rep 1 is there twice, with other timings",
        ),
        (f"{HEADER}\ns1,1,1,,,,\n", "/set.csv: holds no repetition with a timing"),
        (f"{HEADER}\n", "/set.csv: holds no repetition"),
        (
            "subject,session,rep,key_index,press_s,release_s\ns,1,1,1,2,1\n",
            "/set.csv:2: released before it was pressed",
        ),
        (
            "subject,session,rep,key_index,press_s,release_s\ns,1,1,1,1,2\ns,1,1,1,1,3\n",
            "/set.csv:3: key_index 1 is there twice in this repetition, with other times",
        ),
        ("P,'f',1653420520415328000\n", "/set.csv:1: the header is of no known layout (docs/evaluation.md lists them)"),
        ("", "/set.csv:1: the header is of no known layout (docs/evaluation.md lists them)"),
    ],
)
def test_bad_input_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text) == message


@pytest.mark.parametrize("cell", ["", " ", "NaN", "nan", "NA", "n/a", "null", "None"])
def test_what_stands_for_a_missing_timing(tmp_path: Path, cell: str) -> None:
    data = read(tmp_path, f"{HEADER}\ns1,1,1,.1,{cell},.1,.08\n")
    assert columns(data) == {
        0: [[100.0, 80.0]],
        1: [[pytest.approx(np.nan, nan_ok=True)]],
        2: [[pytest.approx(np.nan, nan_ok=True)]],
    }
    assert data.notes == ()


def test_names_sessions_and_repetitions_as_table_programs_write_them(tmp_path: Path) -> None:
    data = read(tmp_path, f"\ufeff{HEADER}\r\n s1 ,1.0,2.0,.2,.2,.1,.1\r\ns1,1,1,.1,.2,.1,.1\r\n\r\n,,,,,,\r\n")
    (person,) = data.people
    assert (person.name, person.values[:, 0].tolist(), person.sessions.tolist()) == ("s1", [100.0, 200.0], [1, 1])


def test_sessions_that_are_words_are_in_order_of_appearance(tmp_path: Path) -> None:
    rows = ["s1,monday,1,.1,.2,.1,.1", "s1,friday,1,.3,.2,.1,.1", "s1,monday,2,.2,.2,.1,.1", "s2,friday,1,.1,.2,.1,.1"]
    data = read(tmp_path, "\n".join([HEADER, *rows]))
    assert data.people[0].values[:, 0].tolist() == [100.0, 200.0, 300.0]
    assert [each.sessions.tolist() for each in data.people] == [[1, 1, 2], [2]]
    assert data.notes == ("sessionIndex in order of appearance: monday, friday",)
    halves = read(tmp_path, f"{HEADER}\ns1,2.5,1,.3,.2,.1,.1\ns1,1.5,1,.1,.2,.1,.1\n")
    assert halves.people[0].values[:, 0].tolist() == [100.0, 300.0]


def test_columns_that_say_nothing_about_timings_are_ignored_with_a_note(tmp_path: Path) -> None:
    data = read(tmp_path, "age,subject,sessionIndex,rep,H.a,DD.a.b,hand,H.b\n30,s1,1,1,.1,.25,left,.08\n")
    assert columns(data) == {0: [[100.0, 80.0]], 1: [[250.0]], 2: [[150.0]]}
    assert data.notes == ("ignored: columns age, hand",)
    keys = "subject,session,rep,key_index,key,press_s,release_s\ns,1,1,0,a,0,.1\ns,1,1,1,b,.2,.3\n"
    assert read(tmp_path, keys).notes == ("ignored: column key",)


def test_a_repetition_without_a_timing_and_a_line_that_repeats_are_left_out_and_counted(tmp_path: Path) -> None:
    line = "s1,1,1,.1,.2,.1,.1"
    data = read(tmp_path, "\n".join([HEADER, line, line, "s1,1,2,,,,", "s2,1,1,,NA,,"]))
    assert [each.name for each in data.people] == ["s1"]
    assert len(data.people[0].values) == 1
    assert data.notes == ("1 repeated line left out", "2 repetitions without any timing left out")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{HEADER}\ns1,1,1,90,250,150,80\n", "the median timing is 90 s if these are seconds"),
        (f"{HEADER}\ns1,1,1,.00009,.00025,.1,.00008\n", "the median timing is 9e-05 s if these are seconds"),
        ("Subject,Hold a,DD a.b,Hold b\n1,.09,.25,.08\n", "the median timing is 9e-05 s if these are milliseconds"),
    ],
)
def test_another_unit_is_warned_of(tmp_path: Path, text: str, words: str) -> None:
    assert read(tmp_path, text).notes == (f"the unit looks wrong: {words}",)


def test_other_separators_are_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, HEADER.replace(",", ";")) == (
        "/set.csv:1: separated by semicolons; cells need commas, and numbers a point"
    )
    assert "separated by tabs" in refusal(tmp_path, HEADER.replace(",", "\t"))


def test_a_character_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "set.csv"
    file.write_bytes(f"{HEADER}\ns1,1,1,.1,.2,.1,.1\nM".encode() + b"\xfcller,1,1,.1,.2,.1,.1\n")
    with pytest.raises(DatasetInvalid, match=r"set\.csv:3: a character is not UTF-8"):
        find_sets(file)


def test_in_a_folder_broken_and_strange_files_stop_nothing(tmp_path: Path) -> None:
    text = f"{HEADER}\ns1,1,1,.1,.2,.1,.1\n"
    for name, content in {
        "good/DATA.CSV": text.encode(),
        "deep/er/set.csv": text.encode(),
        "bad/set.csv": f"{HEADER}\ns1,1,1,.1,fast,.1,.1\n".encode(),
        "bad/notes.csv": "N\u00f6tes, in Latin-1\n".encode("latin-1"),
        "bad/picture.csv": bytes(range(256)),
        "bad/empty.csv": b"",
        ".hidden/set.csv": text.encode(),
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    found = find_sets(tmp_path)
    assert [each.name for each in found.sets] == ["deep/er", "good"]
    assert found.passed == ["bad: 3 files of no known fixed-text layout"]
    assert found.refused == [f"{tmp_path}/bad/set.csv:2: DD.a.b is 'fast', not a finite number"]
    with pytest.raises(DatasetInvalid, match=r"DD\.a\.b is 'fast'"):
        find_sets(tmp_path / "bad")


def test_a_folder_of_sets_is_searched_and_says_what_it_passes_over(tmp_path: Path) -> None:
    for name in ("alpha", "beta", "strange"):
        (tmp_path / name).mkdir()
    text = f"{HEADER}\ns1,1,1,.1,.2,.1,.1\n"
    (tmp_path / "alpha" / "data.csv").write_text(text)
    (tmp_path / "beta" / "one.csv").write_text(text)
    (tmp_path / "beta" / "two.csv").write_text(text)
    (tmp_path / "strange" / "text.csv").write_text("P,'f',16\n")
    sets, passed, refused = find_sets(tmp_path)
    assert refused == []
    assert [each.name for each in sets] == ["alpha", "beta/one", "beta/two"]
    assert passed == ["strange: 1 file of no known fixed-text layout"]
    (alone,), _, _ = find_sets(tmp_path / "alpha")
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
