"""Where sealed values stand and what they are bound to, so that a check can open every one of them."""

from collections.abc import Callable
from typing import Any

from sidecar.errors import StorageFailed
from sidecar.ports import Keys, ProfileKey
from sidecar.storage import checkpoints, entries, subjects, surroundings
from sidecar.storage.database import Database
from sidecar.storage.decisions import body_place
from sidecar.storage.evidence import STANDING, sample_place, template_for, template_place

Place = Callable[[str, str, list[Any]], tuple[str, ...]]


def faults(database: Database, keys: Keys) -> list[str]:
    """Open every sealed value; return a line for each that does not. Those under destroyed keys are as they should be."""
    found = []
    for table, column, named, told, place in _SEALED:
        # The columns ``named`` say which row it is, those ``told`` what it says in clear.
        count = len(named.split(", ")) if named else 0
        columns = ", ".join(part for part in ("tenant", "subject", column, named, told) if part)
        for tenant, subject, sealed, *row in database.read(f"SELECT {columns} FROM {table}"):
            try:
                plain = keys.open_mine(tenant, subject, bytes(sealed), *place(tenant, subject, row))
                if plain is not None and table in ("templates", "checkpoints"):
                    template_for(plain, row[count])
            except StorageFailed as error:
                found.append(f"{table} {' '.join(map(str, row[:count])) or subject}: {error.code}")
    return found


def _key(tenant: str, subject: str, row: list[Any]) -> ProfileKey:
    return ProfileKey(tenant, subject, row[0], row[1], row[2])


_KEYED = "modality, field, context"
_SEALED: tuple[tuple[str, str, str, str, Place], ...] = (
    (
        "decisions",
        "body",
        "id",
        "issuer, at",
        lambda tenant, subject, row: body_place(row[0], tenant, row[1], subject, row[2]),
    ),
    ("directory", "sealed", "", "", lambda tenant, subject, _: ("directory", "sealed", tenant, subject)),
    (
        "subjects",
        "proof",
        "",
        subjects.COLUMNS,
        lambda tenant, subject, row: subjects.consent_place(tenant, subject, *row),
    ),
    (
        "past_logins",
        "sealed",
        "",
        "oldest_at, last_at",
        lambda tenant, subject, row: surroundings.past_place(tenant, subject, *row),
    ),
    (
        "failed_logins",
        "sealed",
        "",
        "last_at",
        lambda tenant, subject, row: surroundings.failure_place(tenant, subject, *row),
    ),
    (
        "marks",
        "sealed",
        "",
        "at, expires",
        lambda tenant, subject, row: surroundings.mark_place(tenant, subject, *row),
    ),
    (
        "samples",
        "sealed",
        f"{_KEYED}, decision",
        "evidence, at, confirmed, model",
        lambda tenant, subject, row: sample_place(_key(tenant, subject, row), row[3], *row[4:]),
    ),
    (
        "templates",
        "sealed",
        _KEYED,
        STANDING,
        lambda tenant, subject, row: template_place(_key(tenant, subject, row), *row[3:]),
    ),
    (
        "checkpoints",
        "sealed",
        f"{_KEYED}, id",
        checkpoints.STANDING,
        lambda tenant, subject, row: checkpoints.place(_key(tenant, subject, row), row[3], *row[4:]),
    ),
    (
        "entries",
        "sealed",
        _KEYED,
        "oldest_at, newest_at",
        lambda tenant, subject, row: entries.place(_key(tenant, subject, row), row[3], row[4]),
    ),
    (
        "waiting_probes",
        "sealed",
        "decision, field",
        "",
        lambda _, __, row: ("waiting_probes", "sealed", row[0], row[1]),
    ),
    (
        "recorded",
        "sealed",
        "recording, decision",
        "",
        lambda _, __, row: ("recorded", "sealed", row[0], row[1]),
    ),
)


def columns() -> set[tuple[str, str]]:
    """Return (table, column) of every sealed value that can be opened by itself."""
    return {(table, column) for table, column, *_ in _SEALED}
