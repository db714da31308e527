"""Earlier entries of each field, one sealed list per profile (``sidecar/domain/entries.py`` bounds it).

Written with every decision that saw typing and with every completion; read in one piece at a login.
"""

from collections.abc import Callable, Mapping, Sequence

import structlog

from sidecar.domain import entries as lists
from sidecar.domain.decisions import Action
from sidecar.domain.entries import Ended, Entries, Entry
from sidecar.errors import CaptureUsed, SealBroken
from sidecar.keyring import vouched
from sidecar.ports import Keys, Opener, ProfileKey, StoredDecision
from sidecar.risk.context.machine import is_copy
from sidecar.storage import evidence
from sidecar.storage.arrays import pack_entries, unpack_entries
from sidecar.storage.database import Connection, Database
from sidecar.storage.evidence import KEY, parts

MODALITY = "keystroke"

log = structlog.get_logger()


def place(key: ProfileKey, oldest: float, newest: float) -> tuple[str, ...]:
    """Return where a list is sealed for: its profile, and the columns that stand in clear."""
    return ("entries", "sealed", *parts(key), vouched(oldest, newest))


def read(database: Database, mine: Opener, tenant: str, subject: str) -> dict[tuple[str, str], Entries]:
    """Return a person's lists by field and context. Blocks; for reading jobs. Raises StorageFailed."""
    rows = database.read(
        "SELECT field, context, oldest_at, newest_at, sealed FROM entries WHERE tenant = ? AND subject = ?"
        " AND modality = ?",
        (tenant, subject, MODALITY),
    )
    found = {}
    for field, context, oldest, newest, sealed in rows:
        key = ProfileKey(tenant, subject, MODALITY, field, context)
        plain = mine(bytes(sealed), *place(key, oldest, newest))
        if plain is not None:
            found[field, context] = unpack_entries(plain)
    return found


def keep(connection: Connection, keys: Keys, tenant: str, subject: str, entries: Sequence[Entry], watched: str) -> None:
    """Keep a decision's entries. Raises CaptureUsed where that of the ``watched`` field copies an earlier one: another
    decision, on another sidecar perhaps, was faster than the look that this one took.
    """
    for entry in entries:
        key = ProfileKey(tenant, subject, MODALITY, entry.field, entry.context)

        def one(before: Entries, entry: Entry = entry) -> Entries:
            if entry.field == watched and is_copy(entry.probe, before):
                raise CaptureUsed("typing that nearly repeats an earlier entry")
            return lists.added(before, entry)

        _change(connection, keys, key, one)


def note_learned(connection: Connection, keys: Keys, key: ProfileKey, entry: Entry) -> None:
    """Note that a profile rests on an entry."""
    _change(connection, keys, key, lambda before: lists.learned(before, entry))


def note_ended(connection: Connection, keys: Keys, decision: StoredDecision, completion: Mapping[str, object]) -> None:
    """Note how the login of a decision ended."""
    how = _how(decision, completion)
    for key in _lists(connection, decision.tenant, decision.subject):
        _change(connection, keys, key, lambda before: lists.ended(before, decision.at, how))


def take_back(connection: Connection, keys: Keys, tenant: str, subject: str, since: float) -> None:
    """Let nothing since a moment count as the person's own."""
    for key in _lists(connection, tenant, subject):
        _change(connection, keys, key, lambda before: lists.taken_back(before, since))


def age(connection: Connection, keys: Keys, cutoff: float, limit: int) -> int:
    """Drop entries older than a moment from some lists; return from how many."""
    found = connection.execute(
        "SELECT tenant, subject, modality, field, context FROM entries WHERE oldest_at < ? LIMIT ?", (cutoff, limit)
    ).fetchall()
    for names in found:
        key = ProfileKey(*names)
        try:
            _change(connection, keys, key, lambda before: lists.since(before, cutoff))
        except SealBroken:  # it says nothing any more, and must not keep the others longer than promised
            log.error("entries_unreadable", subject=key.subject, field=key.field)
            connection.execute(f"DELETE FROM entries WHERE {KEY}", parts(key))
    return len(found)


def _how(decision: StoredDecision, completion: Mapping[str, object]) -> Ended:
    if completion["outcome"] != "succeeded":
        return Ended.NOT
    if completion["second_factor"]:
        return Ended.CONFIRMED
    return Ended.ALLOWED if decision.body["answer"]["action"] == Action.ALLOW else Ended.NOT


def _lists(connection: Connection, tenant: str, subject: str) -> list[ProfileKey]:
    found = connection.execute(
        "SELECT tenant, subject, modality, field, context FROM entries WHERE tenant = ? AND subject = ?",
        (tenant, subject),
    ).fetchall()
    return [ProfileKey(*names) for names in found]


def _change(connection: Connection, keys: Keys, key: ProfileKey, change: Callable[[Entries], Entries]) -> None:
    """Change one list; an empty one is not kept. A list that is new begins with the samples that are stored already."""
    connection.lock("entries", *parts(key))
    row = connection.execute(f"SELECT oldest_at, newest_at, sealed FROM entries WHERE {KEY}", parts(key)).fetchone()
    plain = keys.open_mine(key.tenant, key.subject, bytes(row[2]), *place(key, row[0], row[1])) if row else None
    before = _begun(connection, keys, key) if plain is None else unpack_entries(plain)
    after = change(before)
    if after is before and plain is not None:
        return
    connection.execute(f"DELETE FROM entries WHERE {KEY}", parts(key))
    if len(after):
        oldest, newest = float(after.at.min()), float(after.at.max())
        sealed = keys.seal(key.tenant, key.subject).close(pack_entries(after), *place(key, oldest, newest))
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*parts(key), oldest, newest, sealed))


def _begun(connection: Connection, keys: Keys, key: ProfileKey) -> Entries:
    made = lists.nothing()
    for kept in evidence.window(connection, keys, key):
        made = lists.learned(made, Entry(key.field, key.context, kept.probe, kept.at, None, ""))
    return made
