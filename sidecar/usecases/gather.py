"""Bring a login's behaviour together: what waits in the store and what came in the hidden form field.

Whatever the browser did wrong ends as a named cause, never as an error of the login: the policy says what it means.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from sidecar.config import IdpSettings
from sidecar.domain.biometrics import Cause
from sidecar.domain.decisions import Attempt
from sidecar.errors import CaptureExpired, CaptureRefused, MalformedBatch, StorageFailed
from sidecar.features import keystroke
from sidecar.keyring import batch_seal
from sidecar.ports import Captures
from sidecar.tokens import CaptureClaims, verify_capture
from sidecar.usecases.observe import CLOCK_SLACK_SECONDS
from sidecar.wire import Batch, HiddenField, decode_batch, decode_hidden

OUTSTANDING_SECONDS = 0.1
POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Gathered:
    """A login's behaviour, or the cause why there is none; ``uses`` is what a decision on it uses up.

    ``gpc``: the browser sent Global Privacy Control when it opened the capture.
    """

    evidence: Sequence[Batch] | Cause
    uses: tuple[str, ...] = ()
    gpc: bool = False


async def gather(
    captures: Captures,
    key: bytes,
    idp: IdpSettings,
    attempt: Attempt,
    clock: Callable[[], float],
    *,
    barred: Cause | None = None,
) -> Gathered:
    """Collect the batches of an attempt. A batch that is on its way is waited for, 100 ms at most.

    ``barred``: why behaviour must not be looked at; then captures are only used up, and what they hold is never opened.
    It is the cause even when nothing was sent: a login page that knows better does not listen in the first place.
    """
    try:
        fields = _merged([decode_hidden(text.encode()) for text in attempt.captures if text])
    except (MalformedBatch, UnicodeEncodeError):
        return Gathered(barred or Cause.MALFORMED)
    if not fields:
        return Gathered(barred or Cause.NO_CAPTURE)
    batches: list[Batch] = []
    uses: list[str] = []
    gpc = False
    for field in fields:
        found = await _one(captures, key, idp, attempt, field, clock, barred)
        gpc = gpc or found.gpc
        uses += [use for use in found.uses if use not in uses]
        if not isinstance(found.evidence, Cause):
            batches += _after(batches, found.evidence)
        elif barred is None:
            return found
    return Gathered(barred or batches, tuple(uses), gpc)


def _merged(fields: Sequence[HiddenField]) -> list[HiddenField]:
    """Join the fields of several pages that belong to one capture; the last one knows how many batches there are."""
    merged: dict[str, HiddenField] = {}
    for number, field in enumerate(fields):
        name = field.c or f"carried {number}"
        if (earlier := merged.get(name)) is not None:
            both = {batch.seq: batch for batch in (*earlier.b, *field.b)}
            field = msgspec.structs.replace(field, n=max(earlier.n, field.n), b=list(both.values()))  # noqa: PLW2901
        merged[name] = field
    return list(merged.values())


async def _one(
    captures: Captures,
    key: bytes,
    idp: IdpSettings,
    attempt: Attempt,
    hidden: HiddenField,
    clock: Callable[[], float],
    barred: Cause | None,
) -> Gathered:
    if hidden.t is None or hidden.c is None:
        return Gathered(barred) if barred else _carried(hidden, attempt, clock())
    claims = _permitted(hidden.t, hidden.c, key, idp, attempt, clock())
    if isinstance(claims, Cause):
        return Gathered(claims)
    uses = (f"capture:{claims.capture}",)
    if barred:
        return Gathered(barred, uses, claims.gpc)
    batches = await _joined(captures, hidden, hidden.t)
    if batches is None:
        return Gathered(Cause.MALFORMED, uses, claims.gpc)
    found = _checked(batches, hidden.n, uses, began=claims.issued, now=clock())
    return replace(found, gpc=claims.gpc)


def _permitted(
    token: str, capture: str, key: bytes, idp: IdpSettings, attempt: Attempt, now: float
) -> CaptureClaims | Cause:
    """Return what a capture's token permits, or why it does not permit this login."""
    try:
        claims = verify_capture(token, key, now=now)
    except CaptureExpired:
        return Cause.EXPIRED
    except CaptureRefused:
        return Cause.FOREIGN
    if claims.capture != capture or claims.site != idp.site_key or claims.attempt != attempt.attempt:
        return Cause.FOREIGN
    return claims


def _carried(hidden: HiddenField, attempt: Attempt, now: float) -> Gathered:
    """Where no connection is allowed the field is the whole capture; the provider's attempt id binds it."""
    if attempt.attempt is None:
        return Gathered(Cause.FOREIGN)
    uses = ("attempt:" + msgspec.json.encode([attempt.issuer, attempt.attempt]).decode(),)
    return _checked(sorted(hidden.b, key=lambda batch: batch.seq), hidden.n, uses, began=attempt.started_at, now=now)


async def _joined(captures: Captures, hidden: HiddenField, token: str) -> list[Batch] | None:
    """Return the batches by sequence number, None when a kept one is not what its token sealed."""
    seal = batch_seal(token)
    name = str(hidden.c)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + OUTSTANDING_SECONDS
    found = {batch.seq: batch for batch in hidden.b}
    while True:
        # A page that stays open may have sent more since the form was sent; that is not part of this login.
        stored = [(seq, sealed) for seq, sealed in await captures.waiting(name) if seq < hidden.n]
        if len(found.keys() | {seq for seq, _ in stored}) >= hidden.n or loop.time() >= deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    try:
        for seq, sealed in stored:
            found[seq] = decode_batch(seal.open(sealed, "waiting_batches", name, str(seq)))
    except (StorageFailed, MalformedBatch):
        return None
    return [found[seq] for seq in sorted(found)]


def _checked(
    batches: list[Batch], announced: int, uses: tuple[str, ...], *, began: float | None, now: float
) -> Gathered:
    if [batch.seq for batch in batches] != list(range(announced)) or not batches:
        return Gathered(Cause.INCOMPLETE if announced else Cause.NO_CAPTURE, uses)
    if began is not None and keystroke.span_ms(batches) / 1000 > now - began + CLOCK_SLACK_SECONDS:
        return Gathered(Cause.IMPLAUSIBLE, uses)
    return Gathered(batches, uses)


def _after(before: Sequence[Batch], later: Sequence[Batch]) -> list[Batch]:
    """Renumber the batches of a later page so that they follow the earlier ones."""
    page = max((batch.page for batch in before), default=-1) + 1
    seq = max((batch.seq for batch in before), default=-1) + 1
    return [msgspec.structs.replace(batch, page=batch.page + page, seq=batch.seq + seq) for batch in later]
