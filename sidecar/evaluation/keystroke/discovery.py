"""Which sets a path holds: a file, a set's folder, or a folder of sets."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sidecar.evaluation.datasets import DatasetInvalid
from sidecar.evaluation.keystroke.layouts import read_set
from sidecar.evaluation.keystroke.sets import KeystrokeSet


class Found(NamedTuple):
    """Sets, a sentence for each folder with files of no known layout, and the refusal of each set that is broken."""

    sets: list[KeystrokeSet]
    passed: list[str]
    refused: list[str]


def find_sets(path: Path) -> Found:
    """All sets of a path: of a folder every ``.csv`` file in it, however deep, but for hidden folders.

    Raises DatasetInvalid where there is no set, or none that is not broken.
    """
    if path.is_file():
        made = read_set(path, path.stem)
        if made is None:
            raise DatasetInvalid(f"{path}:1: the header is of no known layout (docs/evaluation.md lists them)")
        return Found([made], [], [])
    if not path.is_dir():
        raise DatasetInvalid(f"{path}: no such file or folder")
    found = Found([], [], [])
    for folder, files in _folders(path).items():
        known, strange = [], 0
        for file in files:
            try:
                made = read_set(file, file.stem)
            except DatasetInvalid as wrong:
                found.refused.append(wrong.message)
                continue
            strange += made is None
            known += [made] if made else []
        name = path.resolve().name if folder == path else str(folder.relative_to(path))
        alone = len(files) - strange == 1
        found.sets.extend(replace(each, name=name if alone else f"{name}/{each.name}") for each in known)
        if strange:
            found.passed.append(f"{name}: {strange} file{'s' * (strange > 1)} of no known fixed-text layout")
    if not found.sets:
        none = f"{path}: no file of a known layout (docs/evaluation.md lists them)"
        raise DatasetInvalid("; ".join(found.refused) or none)
    return _named_apart(found)


def _folders(path: Path) -> dict[Path, list[Path]]:
    files: dict[Path, list[Path]] = {}
    for file in sorted(path.rglob("*"), key=lambda each: (each.parent, each.name)):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.suffix.lower() == ".csv" and not hidden and file.is_file():
            files.setdefault(file.parent, []).append(file)
    return files


def _named_apart(found: Found) -> Found:
    """No two sets of one name: a row says by its name whose it is."""
    seen: Counter[str] = Counter()
    for place, each in enumerate(found.sets):
        seen[each.name] += 1
        if seen[each.name] > 1:
            found.sets[place] = replace(each, name=f"{each.name} ({seen[each.name]})")
    return found
