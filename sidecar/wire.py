"""The one schema of what the widget sends. Decoding is strict: unknown keys, wrong types and numbers out of bounds refuse.

Three bodies exist: opening a capture, one batch, and the hidden form field. Times are integers of 0.1 ms
(``event.timeStamp`` times ten). Nothing here can carry a character, a key code or a value: in secret fields the class
column holds only ``CHARACTER`` and ``SUBMIT``, so two passwords of equal length and timing make equal bytes (CAP2).
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from sidecar.domain.biometrics import Provenance
from sidecar.errors import MalformedBatch

T = TypeVar("T")

MAX_BATCH_BYTES = 16 * 1024
MAX_FIELD_BYTES = 48 * 1024
MAX_KEYS = 1000
MAX_TICKS = 36_000_000  # one hour in 0.1 ms

FieldName = Literal["username", "password"]
Ticks = Annotated[int, Meta(ge=0, le=MAX_TICKS)]
Hold = Annotated[int, Meta(ge=-1, le=600_000)]


class KeyClass(IntEnum):
    """What kind of key was pressed; the finest the product ever knows."""

    CHARACTER = 0
    EDIT = 1
    NAVIGATION = 2
    MODIFIER = 3
    SUBMIT = 4  # Enter; its release falls on the next page, so its hold is -1


class Keys(Struct, forbid_unknown_fields=True, frozen=True):
    """Columns, one row a key press in the order of the presses.

    ``f``: index into the batch's ``f``; ``c``: ``KeyClass``; ``d``: ticks since the previous row's press (the first row:
    since the batch's ``t``); ``h``: ticks held, -1 where the release was not seen.
    """

    f: Annotated[list[Annotated[int, Meta(ge=0, le=1)]], Meta(max_length=MAX_KEYS)]
    c: Annotated[list[KeyClass], Meta(max_length=MAX_KEYS)]
    d: Annotated[list[Ticks], Meta(max_length=MAX_KEYS)]
    h: Annotated[list[Hold], Meta(max_length=MAX_KEYS)]


class FieldState(Struct, forbid_unknown_fields=True, frozen=True):
    """What became of one field on this page; sent with the page's last batch.

    ``p``: provenance; ``e``: 1 when it was edited while typed; ``s``: the 21 quantile numbers of summary mode, in
    ticks; ``n``: the bucketed key count that goes with them (1: up to 7, 2: 8-11, 3: 12-15, 4: 16 and more).
    """

    f: Annotated[int, Meta(ge=0, le=1)]
    p: Provenance
    e: Annotated[int, Meta(ge=0, le=1)] = 0
    s: Annotated[list[Annotated[int, Meta(ge=-MAX_TICKS, le=MAX_TICKS)]], Meta(min_length=21, max_length=21)] | None = (
        None
    )
    n: Annotated[int, Meta(ge=1, le=4)] | None = None


class Batch(Struct, forbid_unknown_fields=True, frozen=True):
    """A piece of one page's behaviour.

    ``seq`` increases by one over the whole capture; ``page`` counts the pages it spans (username first, retry, reload);
    ``q``: the browser's measured clock quantum in ticks; ``ctx``: input context, ``t``: ticks from the page's time
    origin to the moment the first row counts from; ``end``: 1 on the last batch of a page.
    """

    v: Literal[1]
    seq: Annotated[int, Meta(ge=0, le=999)]
    page: Annotated[int, Meta(ge=0, le=99)]
    q: Annotated[int, Meta(ge=1, le=10_000)]
    ctx: Literal["keyboard", "touch"]
    t: Annotated[int, Meta(ge=0, le=2**40)]
    f: Annotated[list[FieldName], Meta(max_length=2)]
    k: Keys
    s: Annotated[list[FieldState], Meta(max_length=2)] = []
    end: Annotated[int, Meta(ge=0, le=1)] = 0


class OpenCapture(Struct, forbid_unknown_fields=True, frozen=True):
    """Body of ``POST /v1/captures``. ``attempt`` is what the identity provider's server put into the page."""

    site: Annotated[str, Meta(min_length=1, max_length=64)]
    attempt: Annotated[str, Meta(min_length=8, max_length=128)]


class SendBatch(Struct, forbid_unknown_fields=True, frozen=True):
    """Body of ``POST /v1/captures/{id}/batches``."""

    token: Annotated[str, Meta(min_length=1, max_length=2048)]
    batch: Batch


class HiddenField(Struct, forbid_unknown_fields=True, frozen=True):
    """The hidden form field ``gaitkeeper_capture``.

    ``c`` and ``t`` (capture id, token) are absent where no connection was made; then ``b`` is the whole capture.
    ``n``: how many batches the widget made in all, so that the sidecar knows whether one is outstanding.
    """

    v: Literal[1]
    n: Annotated[int, Meta(ge=0, le=1000)]
    b: Annotated[list[Batch], Meta(max_length=200)]
    c: Annotated[str, Meta(max_length=64)] | None = None
    t: Annotated[str, Meta(max_length=2048)] | None = None


_open = msgspec.json.Decoder(OpenCapture)
_send = msgspec.json.Decoder(SendBatch)
_hidden = msgspec.json.Decoder(HiddenField)
_encoder = msgspec.json.Encoder()
_batch = msgspec.json.Decoder(Batch)


def decode_open(raw: bytes) -> OpenCapture:
    """Decode the body that opens a capture. Raises MalformedBatch."""
    return _strict(_open, raw, 1024)


def decode_send(raw: bytes) -> SendBatch:
    """Decode one batch with its token. Raises MalformedBatch."""
    sent = _strict(_send, raw, MAX_BATCH_BYTES + 2048 + 64)
    check_columns(sent.batch)
    if len(encode_batch(sent.batch)) > MAX_BATCH_BYTES:  # as it is stored, which ``decode_batch`` must read again
        raise MalformedBatch(f"larger than {MAX_BATCH_BYTES} bytes")
    return sent


def decode_hidden(raw: bytes) -> HiddenField:
    """Decode the hidden form field. Raises MalformedBatch."""
    hidden = _strict(_hidden, raw, MAX_FIELD_BYTES)
    for batch in hidden.b:
        check_columns(batch)
    return hidden


def decode_batch(raw: bytes) -> Batch:
    """Decode a batch that this sidecar stored itself. Raises MalformedBatch."""
    return _strict(_batch, raw, MAX_BATCH_BYTES)


def encode_batch(batch: Batch) -> bytes:
    """Encode a batch for the store; ``decode_batch`` is its inverse."""
    return _encoder.encode(batch)


def encode_batches(batches: Sequence[Batch]) -> bytes:
    """Encode a login's whole event stream for a recording."""
    return _encoder.encode(list(batches))


def check_columns(batch: Batch) -> None:
    """Refuse columns of unequal length and indices outside the field table. Raises MalformedBatch."""
    keys = batch.k
    if not len(keys.f) == len(keys.c) == len(keys.d) == len(keys.h):
        raise MalformedBatch("key columns differ in length")
    if any(index >= len(batch.f) for index in keys.f) or any(state.f >= len(batch.f) for state in batch.s):
        raise MalformedBatch("a row names a field that the batch does not list")
    if len(set(batch.f)) != len(batch.f):
        raise MalformedBatch("a field is listed twice")
    if sum(keys.d) > MAX_TICKS:
        raise MalformedBatch("a batch spans more than an hour")


def _strict(decoder: "msgspec.json.Decoder[T]", raw: bytes, limit: int) -> T:
    if len(raw) > limit:
        raise MalformedBatch(f"larger than {limit} bytes")
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBatch(str(error)[:200]) from None
