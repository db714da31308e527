"""Fill the generated tables of the documentation from the code: ``make docs``, or ``--check`` to only compare.

A table stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. What stands there by hand is overwritten.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from sidecar import errors
from sidecar.domain.biometrics import Cause, ProfileState
from sidecar.domain.decisions import Judgement, Outcome
from sidecar.domain.roles import MAY, MEANING, Permission, Role
from sidecar.policy.registry import SIGNALS, Signal
from sidecar.storage.inventory import CLASSES, INVENTORY
from sidecar.usecases.reasons import reason

DOCS = Path(__file__).parent
BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def signals() -> Iterator[str]:
    """Rows of every signal a policy may read."""
    yield "| signal | kind | type | values, range, unit | meaning | from |"
    yield "|---|---|---|---|---|---|"
    for signal in SIGNALS.values():
        values = ", ".join(f"`{value}`" for value in signal.values) or _range(signal)
        yield f"| `{signal.name}` | {signal.kind} | {signal.type} | {values} | {signal.meaning} | {signal.producer} |"


def _range(signal: Signal) -> str:
    bounds = ""
    if signal.low is not None:
        bounds = f"{signal.low:g} and above" if signal.high is None else f"{signal.low:g} to {signal.high:g}"
    return ", ".join(part for part in (bounds, signal.unit) if part)


def causes() -> Iterator[str]:
    """Rows of every cause of no evidence, in the words of the operator page."""
    yield "| cause | what the operator reads |"
    yield "|---|---|"
    for cause in Cause:
        words = reason(
            Judgement(
                deciding="password",
                outcome=Outcome.UNAVAILABLE,
                cause=cause,
                state=ProfileState.NONE,
                llr=None,
                confidence=0.0,
                scores=(),
                absences=(),
                probes=(),
                provenance={},
                context="keyboard",
            )
        )
        yield f"| `{cause}` | {words.removeprefix('No evidence: ').rstrip('.')} |"


def codes() -> Iterator[str]:
    """Rows of every error class of ``sidecar.errors``."""
    yield "| code | HTTP status | meaning |"
    yield "|---|---|---|"
    for found in vars(errors).values():
        if isinstance(found, type) and issubclass(found, errors.GaitkeeperError):
            meaning = " ".join((found.__doc__ or "").split()).split(". ")[0].rstrip(".") + "."
            if found is errors.GaitkeeperError:
                meaning = "Something unforeseen; the answer says nothing about it, the log does."
            yield f"| `{found.code}` | {found.status} | {meaning} |"


def data() -> Iterator[str]:
    """The inventory of everything kept: tables, then columns."""
    yield "| store | table | purpose | kept |"
    yield "|---|---|---|---|"
    for table in INVENTORY:
        yield f"| {table.store} | `{table.name}` | {table.purpose} | {_settings_in_code(table.retention)} |"
    yield ""
    yield "| field | class | sealed |"
    yield "|---|---|---|"
    for table in INVENTORY:
        for column in table.columns:
            yield f"| `{table.name}.{column.name}` | {column.holds} | {column.sealed.replace('-', ' ')} |"
    yield ""
    yield "| class | what it is |"
    yield "|---|---|"
    for name, meaning in CLASSES.items():
        yield f"| {name} | {meaning} |"


def roles() -> Iterator[str]:
    """Who may do what, one row a permission."""
    yield "| may | " + " | ".join(f"`{role}`" for role in Role) + " |"
    yield "|---" * (len(Role) + 1) + "|"
    for permission in Permission:
        marks = " | ".join("yes" if permission in MAY[role] else "" for role in Role)
        yield f"| {MEANING[permission]} (`{permission}`) | {marks} |"


def _settings_in_code(text: str) -> str:
    return re.sub(r"retention\.\w+", lambda found: f"`{found[0]}`", text)


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "signals": signals,
    "causes": causes,
    "codes": codes,
    "data": data,
    "roles": roles,
}


def filled(text: str) -> str:
    """Return a page with its tables as the code has them now. Raises KeyError on a table nobody makes."""
    return BLOCK.sub(lambda found: found[1] + "\n".join(TABLES[found[2]]()) + "\n" + found[3], text)


def main() -> None:
    """Write every page that changed, or name them and end with 1."""
    stale = [page for page in sorted(DOCS.glob("*.md")) if filled(page.read_text()) != page.read_text()]
    if "--check" in sys.argv[1:]:
        if stale:
            sys.exit("run make docs: " + ", ".join(page.name for page in stale))
        return
    for page in stale:
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
