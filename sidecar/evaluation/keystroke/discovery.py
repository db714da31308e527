"""Which sets a path holds: a file, a set's folder, or a folder of sets."""

from pathlib import Path

from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke.layouts import read_set
from sidecar.evaluation.keystroke.sets import KeystrokeSet


def find_sets(path: Path) -> tuple[list[KeystrokeSet], list[str]]:
    """All sets of a path, and a sentence for each folder or file that was passed over.

    Raises DatasetInvalid where there is none, or where one of a known layout is broken.
    """
    if path.is_file():
        made = read_set(path, path.stem)
        if made is None:
            raise DatasetInvalid(f"{path}:1: the header is of no known layout (docs/evaluation.md lists them)")
        return [made], []
    if not path.is_dir():
        raise DatasetInvalid(f"{path}: no such file or folder")
    sets: list[KeystrokeSet] = []
    passed: list[str] = []
    for folder in (path, *sorted(item for item in path.iterdir() if item.is_dir())):
        found, strange = _of_folder(folder)
        sets += found
        if strange:
            passed.append(f"{folder.name}: {strange} file{'s' * (strange > 1)} of no known fixed-text layout")
    if not sets:
        raise DatasetInvalid(f"{path}: no file of a known layout (docs/evaluation.md lists them)")
    return sets, passed


def _of_folder(folder: Path) -> tuple[list[KeystrokeSet], int]:
    files = sorted(folder.glob("*.csv"))
    made = [(file, read_set(file, f"{folder.name}/{file.stem}")) for file in files]
    known = [each for _, each in made if each is not None]
    if len(known) == 1:
        only = known[0]
        known = [KeystrokeSet(folder.name, only.layout, only.kinds, only.extra, only.people)]
    return known, len(made) - len(known)
