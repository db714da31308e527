"""The evidence log: samples are appended, and a template is what the samples of its profile make of it, bit for bit.

The log holds more samples than a template rests on, so that what was learned since a moment can be taken back. Where the
samples of an old template are gone, it lives on as a sealed checkpoint until enough new ones are there.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Layout, Probe, Sample, Template
from sidecar.errors import SealBroken
from sidecar.keyring import vouched
from sidecar.ports import Keys, ProfileKey
from sidecar.storage.arrays import pack_template, unpack_probe, unpack_template
from sidecar.storage.database import Connection

WINDOW = 200  # samples a template rests on
KEPT_SAMPLES = 300  # samples the log holds: so many logins back can be taken back exactly
CHECKPOINT_EVERY = 50  # samples
KEPT_CHECKPOINTS = 6
SHAPE_VOTES = 9

Enroll = Callable[[str, Sequence[Sample], NDArray[np.uint8], Layout], Template]

KEY = "tenant = ? AND subject = ? AND modality = ? AND field = ? AND context = ?"
SAMPLE = "number, decision, evidence, at, confirmed, model, sealed"  # columns that ``opened`` takes
STANDING = "model, serving, samples, confirmed, last_at, checkpoint, dropped, compared, fitted"  # in clear, vouched for


@dataclass(frozen=True, slots=True)
class Models:
    """The scorers at hand: ``enroll`` makes a template of one of ``names``; new templates are of ``current``."""

    current: str
    names: frozenset[str]
    enroll: Enroll
    ready_samples: int


@dataclass(frozen=True, slots=True)
class Kept:
    """One sample of the log. ``confirmed``: the profile's standing with it."""

    number: int
    probe: Probe
    at: float
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Derived:
    """What samples make: a template, how many of them count, the profile's standing, and when the last one came."""

    template: Template
    samples: int
    confirmed: bool
    last_at: float


@dataclass(frozen=True, slots=True)
class Row:
    """A row of ``templates`` as learning needs it. ``dropped``: time of the newest sample that retention took away."""

    model: str
    serving: bool
    checkpoint: str | None
    dropped: float | None
    compared: int
    fitted: int


def parts(key: ProfileKey) -> tuple[str, str, str, str, str]:
    """Return a key as parameters of ``KEY``, and as the place of what is sealed for it."""
    return (key.tenant, key.subject, key.modality, key.field, key.context)


def sample_place(key: ProfileKey, decision: str, kind: str, at: float, confirmed: bool, model: str) -> tuple[str, ...]:
    """Return where a sample is sealed for: its profile, its login, and what the log says of it in clear."""
    return ("samples", "sealed", *parts(key), decision, vouched(kind, at, confirmed, model))


def template_place(key: ProfileKey, *standing: str | float | None) -> tuple[str, ...]:
    """Return where a template is sealed for: its profile and the columns ``STANDING``."""
    return ("templates", "sealed", *parts(key), vouched(*standing))


def derive(models: Models, model: str, kept: Sequence[Kept]) -> Derived | None:
    """Make a template of samples, oldest first; None of none. Pure: the same samples give the same bytes."""
    if not kept:
        return None
    votes = Counter(_shape(item.probe) for item in kept[-SHAPE_VOTES:])
    shape = votes.most_common(1)[0][0]  # one stray key press must not unseat a profile
    alike = [item for item in kept if _shape(item.probe) == shape]
    newest = alike[-1].probe
    template = models.enroll(model, [Sample(item.probe.values, item.at) for item in alike], newest.kinds, newest.layout)
    return Derived(template, len(alike), kept[-1].confirmed, kept[-1].at)


def window(connection: Connection, keys: Keys, key: ProfileKey, *, before: float | None = None) -> list[Kept]:
    """Return the samples a template rests on, oldest first: the newest that count, all of them from ``before`` a moment.

    Samples under a forgotten key (of a restored backup) are nobody's any more.
    """
    sql = f"SELECT {SAMPLE} FROM samples WHERE {KEY} AND unlearned IS NULL"
    limits: tuple[Any, ...] = (*parts(key), WINDOW)
    if before is not None:
        sql, limits = f"{sql} AND at < ?", (*parts(key), before, WINDOW)
    rows = connection.execute(f"{sql} ORDER BY number DESC LIMIT ?", limits).fetchall()
    return opened(keys, key, rows[::-1])


def opened(keys: Keys, key: ProfileKey, rows: Sequence[tuple[Any, ...]]) -> list[Kept]:
    """Open rows of the columns ``SAMPLE``. Raises SealBroken when one was changed."""
    found, mine = [], keys.opener(key.tenant, key.subject)
    for number, decision, kind, at, confirmed, model, sealed in rows:
        place = sample_place(key, decision, kind, at, confirmed, model)
        plain = mine(bytes(sealed), *place)
        if plain is not None:
            found.append(Kept(number, unpack_probe(plain), at, bool(confirmed)))
    return found


def rows(connection: Connection, keys: Keys, key: ProfileKey) -> list[Row]:
    """Return the templates of a profile, the serving one first. Raises SealBroken when one was changed, so that what is
    written next does not make a forged row good.
    """
    return [row for row, _ in held(connection, keys, key)]


def held(connection: Connection, keys: Keys, key: ProfileKey) -> list[tuple[Row, Derived]]:
    """Return the templates of a profile whole, the serving one first. Raises SealBroken.

    Those under a forgotten key (of a restored backup) are nobody's any more.
    """
    found, mine = [], keys.opener(key.tenant, key.subject)
    for *standing, sealed in connection.execute(
        f"SELECT {STANDING}, sealed FROM templates WHERE {KEY} ORDER BY serving DESC, model", parts(key)
    ).fetchall():
        plain = mine(bytes(sealed), *template_place(key, *standing))
        if plain is not None:
            model, serving, samples, confirmed, last_at, *rest = standing
            derived = Derived(template_for(plain, model), samples, bool(confirmed), last_at)
            found.append((Row(model, bool(serving), *rest), derived))
    return found


def claimed(connection: Connection, key: ProfileKey) -> list[Row]:
    """Return the templates of a profile as their clear columns have it, proven or not: for making them anew."""
    sql = f"SELECT model, serving, checkpoint, dropped FROM templates WHERE {KEY} ORDER BY serving DESC, model"
    found = connection.execute(sql, parts(key)).fetchall()
    # One serves; how a coming model compared is not believed.
    return [
        Row(model, number == 0, checkpoint, dropped, 0, 0)
        for number, (model, _, checkpoint, dropped) in enumerate(found)
    ]


def put(connection: Connection, keys: Keys, key: ProfileKey, row: Row, derived: Derived) -> None:
    """Write a template."""
    standing = (
        row.model,
        int(row.serving),
        derived.samples,
        int(derived.confirmed),
        derived.last_at,
        row.checkpoint,
        row.dropped,
        row.compared,
        row.fitted,
    )
    seal = keys.seal(key.tenant, key.subject)
    sealed = seal.close(pack_template(derived.template), *template_place(key, *standing))
    drop(connection, key, row.model)
    connection.execute(
        f"INSERT INTO templates (tenant, subject, modality, field, context, {STANDING}, sealed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*parts(key), *standing, sealed),
    )


def drop(connection: Connection, key: ProfileKey, model: str | None = None) -> None:
    """Remove one template of a profile, or all of them."""
    if model is None:
        connection.execute(f"DELETE FROM templates WHERE {KEY}", parts(key))
    else:
        connection.execute(f"DELETE FROM templates WHERE {KEY} AND model = ?", (*parts(key), model))


def template_for(plain: bytes, model: str) -> Template:
    """Decode a template that stands in a row of ``model``. Raises SealBroken, StorageFailed."""
    template = unpack_template(plain)
    if template.detector != model:
        raise SealBroken("a template stands in the row of another model")
    return template


def _shape(probe: Probe) -> tuple[str, int]:
    return (probe.layout, len(probe.values))
