"""The three layouts of fixed-text sets: timings (as the CMU set), key events, and the MEU columns.

Everything becomes milliseconds in the order hold, down-down, up-down per key; up-down is recomputed as
down-down minus hold where both are there. ``docs/evaluation.md`` describes the layouts for users.
"""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind
from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke.sets import Extra, KeystrokeSet, Person

EVENT_COLUMNS = ("subject", "session", "rep", "key_index", "press_s", "release_s")
SLOWEST_MEDIAN = 20_000.0  # ms: a median step above this is a file in milliseconds read as seconds

Line = tuple[int, list[str]]
Key = tuple[str, int, int]


def read_set(file: Path, name: str) -> KeystrokeSet | None:
    """Read one file; None where its header is of no known layout. Raises DatasetInvalid, naming the line."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream)
            header = [cell.strip() for cell in next(rows, [])]
            reader = _reader(header)
            if reader is None:
                return None
            lines = ((number, row) for number, row in enumerate(rows, start=2) if row)
            made = reader(file, name, header, lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetInvalid(f"{file}: {error}") from None
    _check_unit(file, made)
    return made


def _reader(header: list[str]) -> Callable[[Path, str, list[str], Iterator[Line]], KeystrokeSet] | None:
    lower = [cell.lower() for cell in header]
    if lower[:3] == ["subject", "sessionindex", "rep"]:
        return _timings
    if set(EVENT_COLUMNS) <= set(lower):
        return _events
    if lower[:1] == ["subject"] and any(cell.startswith("hold ") for cell in lower):
        return _meu
    return None


def _timings(file: Path, name: str, header: list[str], lines: Iterator[Line]) -> KeystrokeSet:
    prefixes = [cell.split(".", 1)[0].upper() for cell in header[3:]]
    strange = [cell for cell, prefix in zip(header[3:], prefixes, strict=True) if prefix not in ("H", "DD", "UD")]
    if strange or not prefixes:
        raise DatasetInvalid(f"{file}:1: columns after rep must begin with H., DD. or UD., not {strange[:3]}")
    found: dict[Key, Floats] = {}
    for line, row in lines:
        _check_width(file, line, row, len(header))
        key = (row[0], _whole(file, line, row[1], "sessionIndex"), _whole(file, line, row[2], "rep"))
        if key in found:
            raise DatasetInvalid(f"{file}:{line}: subject {key[0]} session {key[1]} rep {key[2]} is there twice")
        found[key] = np.array([_number(file, line, cell, at) for cell, at in zip(row[3:], header[3:], strict=True)])
    rows = np.stack(list(found.values())) * 1000.0 if found else np.empty((0, len(prefixes)))
    parts = [rows[:, [i for i, prefix in enumerate(prefixes) if prefix == wanted]] for wanted in ("H", "DD", "UD")]
    return _assembled(file, name, "timings", list(found), _columns(*parts))


def _events(file: Path, name: str, header: list[str], lines: Iterator[Line]) -> KeystrokeSet:
    place = {cell.lower(): i for i, cell in enumerate(header)}
    extras = [extra for extra in (Extra.PRESSURE, Extra.SIZE) if extra.name.lower() in place]
    wanted = [place["press_s"], place["release_s"], *(place[extra.name.lower()] for extra in extras)]
    found: dict[Key, dict[int, list[float]]] = {}
    for line, row in lines:
        _check_width(file, line, row, len(header))
        session, rep, key = (_whole(file, line, row[place[n]], n) for n in ("session", "rep", "key_index"))
        typed = found.setdefault((row[place["subject"]], session, rep), {})
        if key in typed:
            raise DatasetInvalid(f"{file}:{line}: key_index {key} is there twice in this repetition")
        typed[key] = [_number(file, line, row[i], header[i]) for i in wanted]
        if typed[key][1] < typed[key][0]:
            raise DatasetInvalid(f"{file}:{line}: released before it was pressed")
    keys = sorted({key for typed in found.values() for key in typed})
    cube = np.full((len(found), len(keys), len(wanted)), np.nan)
    for block, typed in zip(cube, found.values(), strict=True):
        for key, cells in typed.items():
            block[keys.index(key)] = cells
    hold = (cube[:, :, 1] - cube[:, :, 0]) * 1000.0
    step = np.diff(cube[:, :, 0], axis=1) * 1000.0
    columns = _columns(hold, step, np.empty((len(found), 0)))
    more = [(cube[:, :, 2 + i], Kind.HOLD, extra) for i, extra in enumerate(extras)]
    return _assembled(file, name, "events", list(found), [*columns, *more])


def _meu(file: Path, name: str, header: list[str], lines: Iterator[Line]) -> KeystrokeSet:
    prefixes = [cell.split(" ", 1)[0].lower() for cell in header]
    used = ("hold", "dd", "ud", "pressure", "size")  # AvH, AvP and AvA are means of the others
    counts: dict[str, int] = {}
    keys: list[Key] = []
    rows: list[list[float]] = []
    for line, row in lines:
        _check_width(file, line, row, len(header))
        counts[row[0]] = counts.get(row[0], 0) + 1
        keys.append((row[0], 1, counts[row[0]]))
        cells = zip(row, header, prefixes, strict=True)
        rows.append([_number(file, line, cell, at) for cell, at, prefix in cells if prefix in used])
    kept = [prefix for prefix in prefixes if prefix in used]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(kept))
    parts = {wanted: table[:, [i for i, prefix in enumerate(kept) if prefix == wanted]] for wanted in used}
    columns = _columns(parts["hold"], parts["dd"], parts["ud"])
    more = [(parts[extra.name.lower()], Kind.HOLD, extra) for extra in (Extra.PRESSURE, Extra.SIZE)]
    return _assembled(file, name, "meu", keys, [*columns, *more])


Columns = tuple[Floats, Kind, Extra]


def _columns(hold: Floats, step: Floats, gap: Floats) -> list[Columns]:
    """Hold, down-down and up-down with what follows from the other two filled in, where the counts fit."""
    fits = hold.shape[1] - step.shape[1] in (0, 1)
    if hold.size and step.size and fits:
        gap = step - hold[:, : step.shape[1]]
    elif hold.size and gap.size and hold.shape[1] - gap.shape[1] in (0, 1) and not step.size:
        step = gap + hold[:, : gap.shape[1]]
    return [(hold, Kind.HOLD, Extra.NONE), (step, Kind.DOWN_DOWN, Extra.NONE), (gap, Kind.UP_DOWN, Extra.NONE)]


def _assembled(file: Path, name: str, layout: str, keys: Sequence[Key], columns: list[Columns]) -> KeystrokeSet:
    if not keys:
        raise DatasetInvalid(f"{file}: holds no repetition")
    values = np.concatenate([part for part, _, _ in columns], axis=1)
    empty = np.flatnonzero(~np.isfinite(values).any(axis=1))
    if empty.size:
        subject, session, rep = keys[empty[0]]
        raise DatasetInvalid(f"{file}: subject {subject} session {session} rep {rep} has no timing at all")
    kinds = np.concatenate([np.full(part.shape[1], kind, dtype=np.uint8) for part, kind, _ in columns])
    extra = np.concatenate([np.full(part.shape[1], extra, dtype=np.uint8) for part, _, extra in columns])
    return KeystrokeSet(name, layout, kinds, extra, _people(keys, values))


def _people(keys: Sequence[Key], values: Floats) -> tuple[Person, ...]:
    order: dict[str, list[int]] = {}
    for i, key in sorted(enumerate(keys), key=lambda pair: pair[1]):
        order.setdefault(key[0], []).append(i)
    return tuple(
        Person(subject, values[rows], np.array([keys[i][1] for i in rows], dtype=np.int64))
        for subject, rows in order.items()
    )


def _check_unit(file: Path, made: KeystrokeSet) -> None:
    times: NDArray[np.bool_] = (made.extra == Extra.NONE) & (made.kinds != Kind.UP_DOWN)
    sizes = np.concatenate([np.abs(person.values[:, times]).ravel() for person in made.people])
    sizes = sizes[np.isfinite(sizes)]
    if sizes.size and np.median(sizes) > SLOWEST_MEDIAN:
        raise DatasetInvalid(f"{file}: the median timing is {np.median(sizes) / 1000:.0f} s; are these milliseconds?")


def _check_width(file: Path, line: int, row: list[str], width: int) -> None:
    if len(row) != width:
        raise DatasetInvalid(f"{file}:{line}: {len(row)} cells where the header has {width}")


def _whole(file: Path, line: int, cell: str, column: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise DatasetInvalid(f"{file}:{line}: {column} is {cell!r}, not a whole number") from None


def _number(file: Path, line: int, cell: str, column: str) -> float:
    """A finite number; an empty cell is a missing timing."""
    if not cell.strip():
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise DatasetInvalid(f"{file}:{line}: {column} is {cell!r}, not a finite number")
    return value
