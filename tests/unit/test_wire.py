"""What the widget may send, and that nothing else gets past the door: whatever arrives, it decodes or is malformed."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar import wire
from sidecar.errors import MalformedBatch
from sidecar.features import keystroke

DECODERS = [wire.decode_open, wire.decode_send, wire.decode_hidden, wire.decode_batch]
EACH = pytest.mark.parametrize("decode", DECODERS, ids=[decode.__name__ for decode in DECODERS])


def good(**changed: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "v": 1,
        "seq": 0,
        "page": 0,
        "q": 1,
        "ctx": "keyboard",
        "t": 10_000,
        "f": ["username", "password"],
        "k": {"f": [1, 1, 1], "c": [0, 0, 4], "d": [0, 1500, 1600], "h": [900, 850, -1]},
        "s": [{"f": 1, "p": "typed"}],
        "end": 1,
    } | changed
    return {name: value for name, value in made.items() if value is not ...}


def sent(batch: Any) -> bytes:
    return json.dumps({"token": "t", "batch": batch}).encode()


def keys(**changed: Any) -> dict[str, Any]:
    return good(k=good()["k"] | changed)


def test_a_good_batch_comes_back_as_it_went_in() -> None:
    batch = wire.decode_send(sent(good())).batch
    assert wire.decode_batch(wire.encode_batch(batch)) == batch
    assert batch.k.h[-1] == -1


BAD: dict[str, dict[str, Any]] = {
    "version 2": good(v=2),
    "version true": good(v=True),
    "no version": good(v=...),
    "unknown key": good(code="KeyA"),
    "key values": keys(key=["a", "b", "c"]),
    "negative seq": good(seq=-1),
    "seq too big": good(seq=1000),
    "seq a fraction": good(seq=0.5),
    "seq a text": good(seq="0"),
    "seq true": good(seq=True),
    "negative page": good(page=-1),
    "no quantum": good(q=0),
    "context unknown": good(ctx="brain"),
    "negative origin": good(t=-1),
    "huge origin": good(t=2**40 + 1),
    "huge origin beyond 64 bit": good(t=2**70),
    "field unknown": good(f=["username", "otp"]),
    "field twice": good(f=["password", "password"]),
    "three fields": good(f=["username", "password", "username"]),
    "negative step": keys(d=[0, -1, 5]),
    "huge step": keys(d=[0, 36_000_001, 5]),
    "steps that add up to more than an hour": keys(d=[36_000_000, 1, 0]),
    "hold below -1": keys(h=[900, -2, -1]),
    "hold of over a minute": keys(h=[900, 600_001, -1]),
    "hold null": keys(h=[900, None, -1]),
    "hold a fraction": keys(h=[900, 1.5, -1]),
    "hold a text": keys(h=[900, "1", -1]),
    "class unknown": keys(c=[0, 5, 4]),
    "class a name": keys(c=[0, "CHARACTER", 4]),
    "unequal f": keys(f=[1, 1]),
    "unequal c": keys(c=[0, 0, 4, 0]),
    "unequal d": keys(d=[]),
    "unequal h": keys(h=[1]),
    "row of an unlisted field": good(f=["password"]),
    "state of an unlisted field": good(f=["username"], k={"f": [], "c": [], "d": [], "h": []}),
    "provenance unknown": good(s=[{"f": 1, "p": "telepathy"}]),
    "state with a value": good(s=[{"f": 1, "p": "typed", "value": "hunter2"}]),
    "three states": good(s=[{"f": 1, "p": "typed"}] * 3),
    "20 quantiles": good(s=[{"f": 1, "p": "typed", "s": [1] * 20}]),
    "quantile huge": good(s=[{"f": 1, "p": "typed", "s": [10**9] * 21}]),
    "length not bucketed": good(s=[{"f": 1, "p": "typed", "n": 10}]),
    "end 2": good(end=2),
    "keys a list": good(k=[]),
    "too many keys": good(k={"f": [1] * 1001, "c": [0] * 1001, "d": [1] * 1001, "h": [1] * 1001}),
}


@pytest.mark.parametrize("batch", BAD.values(), ids=list(BAD))
def test_refused_alone_and_in_the_hidden_field(batch: dict[str, Any]) -> None:
    with pytest.raises(MalformedBatch):
        wire.decode_send(sent(batch))
    with pytest.raises(MalformedBatch):
        wire.decode_hidden(json.dumps({"v": 1, "n": 1, "b": [batch]}).encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1E2", "0x10", "01", "1.", "-"])
def test_numbers_that_are_no_plain_integers_are_refused(number: str) -> None:
    with pytest.raises(MalformedBatch):
        wire.decode_send(sent(keys(h=[900, 123454321, -1])).replace(b"123454321", number.encode()))


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"null", b"[]", b"1", b'"x"', b"\xff\xfe", b"{}" * 2, b"\0", b"[" * 15_000, b'{"a":' * 3000,
        b'{"v":1,"n":0,"b":[],"v":2}', b'{"v":1,"n":0,"b":[],"c":"\\ud800"}',
    ],
)  # fmt: skip
@EACH
def test_broken_bodies(decode: Any, raw: bytes) -> None:
    with pytest.raises(MalformedBatch):
        decode(raw)


@given(st.binary(max_size=400))
@EACH
def test_arbitrary_bytes(decode: Any, raw: bytes) -> None:
    only_malformed(decode, raw)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["keyboard", "password", "typed"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*good(), "token", "batch"]), inner),
    max_leaves=12,
)


@given(JSON)
@EACH
def test_arbitrary_json(decode: Any, value: Any) -> None:
    only_malformed(decode, json.dumps(value).encode())


@given(st.sampled_from(sorted(good())), JSON)
@settings(max_examples=200)
def test_a_good_batch_with_one_column_replaced(name: str, value: Any) -> None:
    only_malformed(wire.decode_send, sent(good(**{name: value})))


@given(
    st.sampled_from(["f", "c", "d", "h"]),
    st.lists(st.integers(-(2**63), 2**64) | st.floats() | st.booleans(), max_size=4),
)
@settings(max_examples=200)
def test_a_good_batch_with_one_key_column_replaced(name: str, column: list[Any]) -> None:
    only_malformed(wire.decode_send, sent(keys(**{name: column})))


COLUMNS = st.integers(0, 12).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            "f": st.lists(st.integers(0, 1), min_size=n, max_size=n),
            "c": st.lists(st.integers(0, 4), min_size=n, max_size=n),
            "d": st.lists(st.integers(0, 3_000_000), min_size=n, max_size=n),
            "h": st.lists(st.integers(-1, 600_000), min_size=n, max_size=n),
        }
    )
)


@given(COLUMNS, st.integers(0, 2**40), st.lists(st.fixed_dictionaries({"f": st.integers(0, 1), "p": st.sampled_from(
    ["typed", "pasted", "filled", "none"]), "e": st.integers(0, 1)}), max_size=2))  # fmt: skip
def test_whatever_decodes_can_be_read_by_the_features(columns: Any, origin: int, states: list[Any]) -> None:
    batch = wire.decode_send(sent(good(k=columns, t=origin, s=states))).batch
    for field in ("username", "password"):
        for mode in ("positions", "summary", "off"):
            keystroke.extract([batch], field, mode=mode)  # type: ignore[arg-type]
    assert keystroke.span_ms([batch]) >= 0


def only_malformed(decode: Any, raw: bytes) -> None:
    try:
        decode(raw)
    except MalformedBatch as refused:
        assert refused.code == "batch_malformed"
        assert len(refused.message) <= 220


def test_bodies_over_their_limits_are_refused_before_they_are_read() -> None:
    for decode, limit in [
        (wire.decode_open, 1024),
        (wire.decode_hidden, wire.MAX_FIELD_BYTES),
        (wire.decode_batch, wire.MAX_BATCH_BYTES),
    ]:
        with pytest.raises(MalformedBatch, match="larger"):
            decode(b" " * (limit + 1))


def test_a_batch_that_is_accepted_can_be_read_again_from_the_store() -> None:
    """A batch between 16 and 18 KB used to be accepted, and then made its whole capture unreadable at the decision."""
    columns = {"f": [1] * 1000, "c": [0] * 1000, "d": [35_000] * 1000, "h": [600_000] * 1000}
    raw = sent(good(k=columns)).replace(b" ", b"")
    assert wire.MAX_BATCH_BYTES < len(raw) < wire.MAX_BATCH_BYTES + 2048
    with pytest.raises(MalformedBatch, match="larger"):
        wire.decode_send(raw)


@given(COLUMNS)
def test_what_is_stored_is_never_larger_than_what_is_read(columns: Any) -> None:
    batch = wire.decode_send(sent(good(k=columns))).batch
    assert wire.decode_batch(wire.encode_batch(batch)) == batch


def test_cap2_the_schema_has_no_room_for_a_character() -> None:
    """Every text that a batch may hold is one of a few names (CAP2)."""
    texts = {"keyboard", "touch", "username", "password", "typed", "pasted", "filled", "none"}
    schema = json.dumps(msgspec.json.schema(wire.Batch))
    found = json.loads(schema)["$defs"]
    free = [
        (name, prop)
        for name, part in found.items()
        for prop, kind in part.get("properties", {}).items()
        if kind.get("type") == "string" and "enum" not in kind
    ]
    assert not free
    enums = {value for part in found.values() for value in part.get("enum", []) if isinstance(value, str)}
    assert enums <= texts
