"""Sealed copies of serving templates: what a profile goes back to where its samples are gone."""

import secrets
from typing import Any

from sidecar.keyring import vouched
from sidecar.ports import Keys, ProfileKey
from sidecar.storage.arrays import pack_template
from sidecar.storage.database import Connection
from sidecar.storage.evidence import KEPT_CHECKPOINTS, KEY, Derived, parts, template_for

STANDING = "model, at, samples, confirmed, last_at"  # in clear, vouched for


def place(key: ProfileKey, identity: str, *standing: str | float) -> tuple[str, ...]:
    """Return where a checkpoint is sealed for: its profile, its id and the columns ``STANDING``."""
    return ("checkpoints", "sealed", *parts(key), identity, vouched(*standing))


def add(connection: Connection, keys: Keys, key: ProfileKey, derived: Derived, at: float) -> str:
    """Keep a copy of a template; return its id."""
    identity = secrets.token_urlsafe(9)
    plain = pack_template(derived.template)
    standing = (derived.template.detector, at, derived.samples, int(derived.confirmed), derived.last_at)
    sealed = keys.seal(key.tenant, key.subject).close(plain, *place(key, identity, *standing))
    connection.execute(
        f"INSERT INTO checkpoints (id, tenant, subject, modality, field, context, {STANDING}, sealed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (identity, *parts(key), *standing, sealed),
    )
    connection.execute(
        f"DELETE FROM checkpoints WHERE {KEY} AND id NOT IN"
        f" (SELECT id FROM checkpoints WHERE {KEY} ORDER BY at DESC, id LIMIT ?)",
        (*parts(key), *parts(key), KEPT_CHECKPOINTS),
    )
    return identity


def newest(
    connection: Connection, keys: Keys, key: ProfileKey, *, until: float | None = None, identity: str | None = None
) -> tuple[str, Derived] | None:
    """Return the newest checkpoint made at or before a moment, or the named one; None without one that opens."""
    sql = f"SELECT id, {STANDING}, sealed FROM checkpoints WHERE {KEY}"
    values: tuple[Any, ...] = parts(key)
    if until is not None:
        sql, values = f"{sql} AND at <= ?", (*values, until)
    if identity is not None:
        sql, values = f"{sql} AND id = ?", (*values, identity)
    row = connection.execute(f"{sql} ORDER BY at DESC, id LIMIT 1", values).fetchone()
    if row is None:
        return None
    name, *standing, sealed = row
    plain = keys.open_mine(key.tenant, key.subject, bytes(sealed), *place(key, name, *standing))
    if plain is None:
        return None
    model, _, samples, confirmed, last_at = standing
    return name, Derived(template_for(plain, model), samples, bool(confirmed), last_at)


def last_at(connection: Connection, key: ProfileKey) -> float | None:
    """Return when the newest checkpoint of a profile was made."""
    found = connection.execute(f"SELECT max(at) FROM checkpoints WHERE {KEY}", parts(key)).fetchone()[0]
    return None if found is None else float(found)
