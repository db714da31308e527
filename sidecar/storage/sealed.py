"""Where sealed values stand and what they are bound to, so that a check can open every one of them."""

from collections.abc import Callable

from sidecar.errors import StorageFailed
from sidecar.ports import Keys, ProfileKey
from sidecar.storage.database import Database
from sidecar.storage.evidence import parts, template_for

Place = Callable[[str, str, list[str]], tuple[str, ...]]


def faults(database: Database, keys: Keys) -> list[str]:
    """Open every sealed value; return a line for each that does not. Those under destroyed keys are as they should be."""
    found = []
    for table, column, sql, place in _SEALED:
        for tenant, subject, sealed, *row in database.read(sql):
            try:
                plain = keys.open_mine(tenant, subject, bytes(sealed), table, column, *place(tenant, subject, row))
                if plain is not None and table in ("templates", "checkpoints"):
                    template_for(plain, row[-1])
            except StorageFailed as error:
                found.append(f"{table} {' '.join(map(str, row)) or subject}: {error.code}")
    return found


def _row(tenant: str, subject: str, row: list[str]) -> tuple[str, ...]:
    del tenant, subject
    return tuple(row)


def _subject(tenant: str, subject: str, row: list[str]) -> tuple[str, ...]:
    del row
    return (tenant, subject)


def _profile(tenant: str, subject: str, row: list[str]) -> tuple[str, ...]:
    """Bind to the profile and to what names the row in it; the last column only says which model it is."""
    return (*parts(ProfileKey(tenant, subject, row[0], row[1], row[2])), *row[3:-1])


_KEYED = "SELECT tenant, subject, sealed, modality, field, context"
_SEALED: tuple[tuple[str, str, str, Place], ...] = (
    ("decisions", "body", "SELECT tenant, subject, body, id FROM decisions", _row),
    ("directory", "sealed", "SELECT tenant, subject, sealed FROM directory", _subject),
    ("samples", "sealed", f"{_KEYED}, decision, '' FROM samples", _profile),
    ("templates", "sealed", f"{_KEYED}, model FROM templates", _profile),
    ("checkpoints", "sealed", f"{_KEYED}, id, model FROM checkpoints", _profile),
    ("waiting_probes", "sealed", "SELECT tenant, subject, sealed, decision, field FROM waiting_probes", _row),
    ("recorded", "sealed", "SELECT tenant, subject, sealed, recording, decision FROM recorded", _row),
)


def columns() -> set[tuple[str, str]]:
    """Return (table, column) of every sealed value that can be opened by itself."""
    return {(table, column) for table, column, _, _ in _SEALED}
