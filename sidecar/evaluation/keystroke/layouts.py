"""The three layouts of fixed-text sets: timings (as the CMU set), key events, and the MEU columns.

Everything becomes milliseconds in the order hold, down-down, up-down per key; up-down is recomputed as
down-down minus hold where both are there. ``docs/evaluation.md`` describes the layouts for users.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke.sets import Extra, KeystrokeSet, Person

EVENT_COLUMNS = ("subject", "session", "rep", "key_index", "press_s", "release_s")
TIMING_COLUMNS = ("subject", "sessionindex", "rep")
TIMES = ("H", "DD", "UD")
MISSING = frozenset({"", "na", "nan", "n/a", "null", "none"})
USUAL_MEDIAN = (10.0, 20_000.0)  # ms: a median timing outside was probably written in another unit
HEADER_BYTES = 1 << 20

Line = tuple[int, list[str]]
Key = tuple[str, int, int]
Columns = tuple[Floats, Kind, Extra]


@dataclass(frozen=True, slots=True)
class _Source:
    """A file of a known layout: its header, its lines with their numbers, and what is to be said about it."""

    file: Path
    name: str
    header: list[str]
    lines: Iterator[Line]
    notes: list[str] = field(default_factory=list)

    def wrong(self, line: int, words: str) -> DatasetInvalid:
        """The refusal of a line."""
        return DatasetInvalid(f"{self.file}:{line}: {words}")

    def subject(self, line: int, cell: str) -> str:
        """A person's name."""
        if not cell.strip():
            raise self.wrong(line, "subject is empty")
        return cell.strip()

    def whole(self, line: int, cell: str, column: str) -> int:
        """A whole number, also as a table program writes it: 3.0."""
        value = _float(cell)
        if value is None or value != math.floor(value):
            raise self.wrong(line, f"{column} is {cell!r}, not a whole number")
        return int(value)

    def number(self, line: int, cell: str, column: str) -> float:
        """A finite number; NaN for a missing timing."""
        if cell.strip().lower() in MISSING:
            return math.nan
        value = _float(cell)
        if value is None:
            raise self.wrong(line, f"{column} is {cell!r}, not a finite number")
        return value

    def ignored(self, columns: Sequence[str]) -> None:
        """Note columns that say nothing about timings."""
        if columns:
            more = f" and {len(columns) - 3} more" if len(columns) > 3 else ""
            self.notes.append(f"ignored: column{'s' * (len(columns) > 1)} {', '.join(columns[:3])}{more}")


def read_set(file: Path, name: str) -> KeystrokeSet | None:
    """Read one file; None where its header is of no known layout. Raises DatasetInvalid, naming the line."""
    header = _header(file, ",")
    reader = _reader(header)
    if reader is None:
        for delimiter, word in ((";", "semicolons"), ("\t", "tabs")):
            if _reader(_header(file, delimiter)):
                raise DatasetInvalid(f"{file}:1: separated by {word}; cells need commas, and numbers a point")
        return None
    rows = csv.reader(io.StringIO(_text(file), newline=""))
    next(rows, None)
    source = _Source(file, name, header, _lines(file, rows, len(header)))
    return _unit_noted(reader(source))


def _header(file: Path, delimiter: str) -> list[str]:
    """The cells of the first line; none where it is no text."""
    try:
        with file.open("rb") as stream:
            first = stream.readline(HEADER_BYTES)
    except OSError as error:
        raise DatasetInvalid(f"{file}: {error.strerror}") from None
    try:
        cells = next(csv.reader([first.decode("utf-8-sig")], delimiter=delimiter), [])
    except (UnicodeDecodeError, csv.Error):
        return []
    return [cell.strip() for cell in cells]


def _text(file: Path) -> str:
    raw = file.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DatasetInvalid(f"{file}:{line}: a character is not UTF-8") from None


def _lines(file: Path, rows: "csv._reader", width: int) -> Iterator[Line]:  # type: ignore[name-defined]
    """Lines with their numbers, without empty ones. Raises DatasetInvalid where one has another number of cells."""
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != width:
                raise DatasetInvalid(f"{file}:{rows.line_num}: {len(row)} cells where the header has {width}")
            yield rows.line_num, row
    except csv.Error as error:
        raise DatasetInvalid(f"{file}:{rows.line_num}: {error}") from None


def _reader(header: list[str]) -> Callable[[_Source], KeystrokeSet] | None:
    lower = [cell.lower() for cell in header]
    if set(EVENT_COLUMNS) <= set(lower):
        return _events
    if set(TIMING_COLUMNS) <= set(lower) and any(_kind(cell) in TIMES for cell in header):
        return _timings
    if lower[:1] == ["subject"] and any(cell.startswith("hold ") for cell in lower):
        return _meu
    return None


def _kind(column: str) -> str:
    prefix, point, _ = column.partition(".")
    return prefix.upper() if point else ""


def _timings(source: _Source) -> KeystrokeSet:
    header = source.header
    subject, session, rep = (_place(header, name) for name in TIMING_COLUMNS)
    used = [i for i, cell in enumerate(header) if _kind(cell) in TIMES]
    source.ignored([cell for i, cell in enumerate(header) if i not in {subject, session, rep, *used}])
    sessions = _Sessions(source, "sessionIndex")
    found: dict[tuple[str, str, int], tuple[float, ...]] = {}
    again = 0
    for line, row in source.lines:
        cells = tuple(source.number(line, row[i], header[i]) for i in used)
        key = (
            source.subject(line, row[subject]),
            sessions.read(line, row[session]),
            source.whole(line, row[rep], "rep"),
        )
        if key in found:
            if not _same(found[key], cells):
                words = f"subject {key[0]} session {key[1]} rep {key[2]} is there twice, with other timings"
                raise source.wrong(line, words)
            again += 1
        found[key] = cells
    _told(source.notes, again, "repeated line{s} left out")
    prefixes = [_kind(header[i]) for i in used]
    rows = np.array(list(found.values()), dtype=np.float64).reshape(len(found), len(used)) * 1000.0
    parts = [rows[:, [i for i, prefix in enumerate(prefixes) if prefix == wanted]] for wanted in TIMES]
    return _assembled(source, "timings", sessions.ordered(found), _columns(*parts))


def _events(source: _Source) -> KeystrokeSet:
    header = source.header
    place = {name: _place(header, name) for name in EVENT_COLUMNS}
    extras = [extra for extra in (Extra.PRESSURE, Extra.SIZE) if extra.name.lower() in map(str.lower, header)]
    measured = [_place(header, extra.name.lower()) for extra in extras]
    source.ignored([cell for i, cell in enumerate(header) if i not in {*place.values(), *measured}])
    wanted = [place["press_s"], place["release_s"], *measured]
    sessions = _Sessions(source, "session")
    found: dict[tuple[str, str, int], dict[int, tuple[float, ...]]] = {}
    again = 0
    for line, row in source.lines:
        rep, key = (source.whole(line, row[place[n]], n) for n in ("rep", "key_index"))
        subject, session = source.subject(line, row[place["subject"]]), sessions.read(line, row[place["session"]])
        typed = found.setdefault((subject, session, rep), {})
        cells = tuple(source.number(line, row[i], header[i]) for i in wanted)
        if cells[1] < cells[0]:
            raise source.wrong(line, "released before it was pressed")
        if key in typed and not _same(typed[key], cells):
            raise source.wrong(line, f"key_index {key} is there twice in this repetition, with other times")
        again += key in typed
        typed[key] = cells
    _told(source.notes, again, "repeated line{s} left out")
    keys = {key: i for i, key in enumerate(sorted({key for typed in found.values() for key in typed}))}
    cube = np.full((len(found), len(keys), len(wanted)), np.nan)
    for block, typed in zip(cube, found.values(), strict=True):
        for key, cells in typed.items():
            block[keys[key]] = cells
    hold = (cube[:, :, 1] - cube[:, :, 0]) * 1000.0
    step = np.diff(cube[:, :, 0], axis=1) * 1000.0
    columns = _columns(hold, step, np.empty((len(found), 0)))
    more = [(cube[:, :, 2 + i], Kind.HOLD, extra) for i, extra in enumerate(extras)]
    return _assembled(source, "events", sessions.ordered(found), [*columns, *more])


def _meu(source: _Source) -> KeystrokeSet:
    prefixes = [cell.split(" ", 1)[0].lower() for cell in source.header]
    used = ("hold", "dd", "ud", "pressure", "size")
    means = ("avh", "avp", "ava")  # of the others
    strange = [cell for cell, prefix in zip(source.header, prefixes, strict=True) if prefix not in used + means]
    source.ignored(strange[1:])  # the first is the subject
    counts: Counter[str] = Counter()
    keys: list[Key] = []
    rows: list[list[float]] = []
    for line, row in source.lines:
        subject = source.subject(line, row[0])
        counts[subject] += 1
        keys.append((subject, 1, counts[subject]))
        cells = zip(row, source.header, prefixes, strict=True)
        rows.append([source.number(line, cell, at) for cell, at, prefix in cells if prefix in used])
    kept = [prefix for prefix in prefixes if prefix in used]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(kept))
    parts = {wanted: table[:, [i for i, prefix in enumerate(kept) if prefix == wanted]] for wanted in used}
    columns = _columns(parts["hold"], parts["dd"], parts["ud"])
    more = [(parts[extra.name.lower()], Kind.HOLD, extra) for extra in (Extra.PRESSURE, Extra.SIZE)]
    return _assembled(source, "meu", keys, [*columns, *more])


class _Sessions:
    """Sessions as numbers: as they are where all are whole, else by size, or in order of appearance where one is a word."""

    def __init__(self, source: _Source, column: str) -> None:
        self._source, self._column = source, column
        self._seen: dict[str, float | None] = {}

    def read(self, line: int, cell: str) -> str:
        """The session's name. Raises DatasetInvalid where there is none."""
        name = cell.strip()
        if not name:
            raise self._source.wrong(line, f"{self._column} is empty")
        value = _float(name)
        if value is not None and value == math.floor(value):
            name = str(int(value))
        self._seen.setdefault(name, value)
        return name

    def ordered(self, found: Iterable[tuple[str, str, int]]) -> list[Key]:
        """The keys of repetitions with numbers for sessions."""
        values = list(self._seen.values())
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            shown = ", ".join(list(self._seen)[:3]) + " ..." * (len(self._seen) > 3)
            self._source.notes.append(f"{self._column} in order of appearance: {shown}")
            number = {name: i for i, name in enumerate(self._seen, start=1)}
        elif all(value == math.floor(value) for value in known):
            number = {name: int(name) for name in self._seen}
        else:
            number = {name: sorted(known).index(value) + 1 for name, value in zip(self._seen, known, strict=True)}
        return [(subject, number[session], rep) for subject, session, rep in found]


def _columns(hold: Floats, step: Floats, gap: Floats) -> list[Columns]:
    """Hold, down-down and up-down with what follows from the other two filled in, where the counts fit."""
    fits = hold.shape[1] - step.shape[1] in (0, 1)
    if hold.size and step.size and fits:
        gap = step - hold[:, : step.shape[1]]
    elif hold.size and gap.size and hold.shape[1] - gap.shape[1] in (0, 1) and not step.size:
        step = gap + hold[:, : gap.shape[1]]
    return [(hold, Kind.HOLD, Extra.NONE), (step, Kind.DOWN_DOWN, Extra.NONE), (gap, Kind.UP_DOWN, Extra.NONE)]


def _assembled(source: _Source, layout: str, keys: Sequence[Key], columns: list[Columns]) -> KeystrokeSet:
    values = np.concatenate([part for part, _, _ in columns], axis=1)
    kinds = np.concatenate([np.full(part.shape[1], kind, dtype=np.uint8) for part, kind, _ in columns])
    extra = np.concatenate([np.full(part.shape[1], extra, dtype=np.uint8) for part, _, extra in columns])
    timed = np.isfinite(values[:, extra == Extra.NONE]).any(axis=1)
    _told(source.notes, int((~timed).sum()), "repetition{s} without any timing left out")
    if not timed.any():
        raise DatasetInvalid(f"{source.file}: holds no repetition" + (" with a timing" if keys else ""))
    kept = [key for key, there in zip(keys, timed, strict=True) if there]
    return KeystrokeSet(source.name, layout, kinds, extra, _people(kept, values[timed]), tuple(source.notes))


def _people(keys: Sequence[Key], values: Floats) -> tuple[Person, ...]:
    order: dict[str, list[int]] = {}
    for i, key in sorted(enumerate(keys), key=lambda pair: pair[1]):
        order.setdefault(key[0], []).append(i)
    return tuple(
        Person(subject, values[rows], np.array([keys[i][1] for i in rows], dtype=np.int64))
        for subject, rows in order.items()
    )


def _unit_noted(made: KeystrokeSet) -> KeystrokeSet:
    times: NDArray[np.bool_] = (made.extra == Extra.NONE) & (made.kinds != Kind.UP_DOWN)
    sizes = np.concatenate([np.abs(person.values[:, times]).ravel() for person in made.people])
    sizes = sizes[np.isfinite(sizes)]
    median = float(np.median(sizes)) if sizes.size else USUAL_MEDIAN[0]
    if USUAL_MEDIAN[0] <= median <= USUAL_MEDIAN[1]:
        return made
    unit = "milliseconds" if made.layout == "meu" else "seconds"
    words = f"the unit looks wrong: the median timing is {median / 1000:g} s if these are {unit}"
    return made.noting(words)


def _same(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    return np.array_equal(np.array(one), np.array(two), equal_nan=True)


def _told(notes: list[str], count: int, words: str) -> None:
    if count:
        notes.append(f"{count} {words.format(s='s' * (count > 1))}")


def _place(header: Sequence[str], name: str) -> int:
    return [cell.lower() for cell in header].index(name)


def _float(cell: str) -> float | None:
    """A finite number, or None. Python's 1_000 is none."""
    try:
        value = math.nan if "_" in cell else float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
