"""Reading the CMU password data set (Killourhy & Maxion 2009). The data is cited, never shipped: the path
is the caller's.
"""

import csv
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Kind
from sidecar.errors import GaitkeeperError
from sidecar.features.keystroke import interleave

CMU_FILE = "DSL-StrongPasswordData.csv"
REPETITIONS = 400
COLUMNS = 31
KEYS = 10
_SESSION = 50
_HEADER_START = ["subject", "sessionIndex", "rep", "H.period", "DD.period.t", "UD.period.t"]


class DatasetInvalid(GaitkeeperError):
    """A data set cannot be read, or is not the one it should be."""

    code: ClassVar[str] = "dataset_invalid"


def load_cmu(path: str | Path) -> dict[str, Floats]:
    """Read the CMU csv file (or the folder that holds it): subject to shape (400, 31), milliseconds, in file
    columns.

    Row r is repetition r + 1 with repetition = (sessionIndex - 1) * 50 + rep. Raises DatasetInvalid.
    """
    file = Path(path)
    file = file / CMU_FILE if file.is_dir() else file
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetInvalid(f"{file}: {error}") from None
    if not rows or rows[0][:6] != _HEADER_START or len(rows[0]) != COLUMNS + 3:
        raise DatasetInvalid(f"{file}: not the header of {CMU_FILE}")
    data: dict[str, Floats] = {}
    for line, row in enumerate(rows[1:], start=2):
        subject, repetition, values = _parse(file, line, row)
        data.setdefault(subject, np.full((REPETITIONS, COLUMNS), np.nan))[repetition] = values
    if not data:
        raise DatasetInvalid(f"{file}: holds no repetition")
    for subject, block in data.items():
        if np.isnan(block).any():
            raise DatasetInvalid(f"{file}: {subject} lacks some of its {REPETITIONS} repetitions")
    return data


def browser_view(block: Floats) -> Floats:
    """What a browser sees of CMU rows: shape (..., 31) to the positions layout (..., 30) of ten characters
    and Enter.

    ``H.Return`` falls on the next page and is dropped; the Shift key is folded into its character as in the
    set; up-down is recomputed as down-down minus hold. Raises ValueError on another width.
    """
    return interleave(*hold_and_down_down(block))


def hold_and_down_down(block: Floats) -> tuple[Floats, Floats]:
    """Split CMU rows (..., 31) into hold and down-down, shape (..., 10) each, ms. Raises ValueError on
    another width.
    """
    if block.shape[-1] != COLUMNS:
        raise ValueError(f"CMU rows have {COLUMNS} columns, not {block.shape[-1]}")
    return block[..., 0:30:3], block[..., 1:30:3]


def laboratory_view(block: Floats) -> tuple[Floats, NDArray[np.uint8]]:
    """All 31 timings as in the published evaluation, up-down recomputed: shape (..., 31), ms, and the
    kinds (31,).
    """
    values = np.concatenate([browser_view(block), block[..., 30:]], axis=-1)
    kinds = np.array([Kind.HOLD, Kind.DOWN_DOWN, Kind.UP_DOWN] * KEYS + [Kind.HOLD], dtype=np.uint8)
    return values, kinds


def _parse(file: Path, line: int, row: list[str]) -> tuple[str, int, Floats]:
    try:
        repetition = (int(row[1]) - 1) * _SESSION + int(row[2]) - 1
        values = np.array([float(cell) for cell in row[3:]]) * 1000.0
    except (ValueError, IndexError):
        raise DatasetInvalid(f"{file}:{line}: a cell is not a number") from None
    if values.size != COLUMNS or not np.isfinite(values).all() or not 0 <= repetition < REPETITIONS:
        raise DatasetInvalid(f"{file}:{line}: not {COLUMNS} timings of a repetition 1 to {REPETITIONS}")
    return row[0], repetition, values
