"""The array format: what comes back is what went in, and damaged or crafted bytes are refused, never worse."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.world import rows_of

from sidecar.domain.biometrics import Sample
from sidecar.errors import StorageFailed
from sidecar.evaluation.synthetic import probe_of
from sidecar.scoring import DETECTORS
from sidecar.storage.arrays import pack_probe, pack_template, unpack_probe, unpack_template

PROBE = probe_of(rows_of(3, 1))
TEMPLATE = DETECTORS["nearest-recent-1"].enroll([Sample(PROBE.values, 1.0)], PROBE.kinds, "positions")
PACKED = {"probe": pack_probe(PROBE), "template": pack_template(TEMPLATE)}
UNPACK: dict[str, Any] = {"probe": unpack_probe, "template": unpack_template}
EACH = pytest.mark.parametrize("kind", ["probe", "template"])


def test_round_trip() -> None:
    probe, template = unpack_probe(PACKED["probe"]), unpack_template(PACKED["template"])
    np.testing.assert_array_equal(probe.values, PROBE.values)
    np.testing.assert_array_equal(probe.kinds, PROBE.kinds)
    np.testing.assert_array_equal(template.center, TEMPLATE.center)
    np.testing.assert_allclose(template.recent, TEMPLATE.recent, rtol=1e-6)
    assert (template.detector, template.layout, template.samples) == (TEMPLATE.detector, "positions", 1)


def test_one_kind_does_not_stand_in_for_the_other() -> None:
    with pytest.raises(StorageFailed):
        unpack_template(PACKED["probe"])
    with pytest.raises(StorageFailed):
        unpack_probe(PACKED["template"])


@EACH
@given(data=st.data())
def test_corrupt_bytes(kind: str, data: st.DataObject) -> None:
    raw = bytearray(PACKED[kind])
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(StorageFailed):
        UNPACK[kind](bytes(raw))


@EACH
@given(data=st.data())
def test_cut_or_lengthened_bytes(kind: str, data: st.DataObject) -> None:
    raw = PACKED[kind]
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(StorageFailed):
        UNPACK[kind](raw[:cut])
    with pytest.raises(StorageFailed):
        UNPACK[kind](raw + data.draw(st.binary(min_size=1, max_size=64)))


@EACH
@given(raw=st.binary(max_size=300))
def test_arbitrary_bytes(kind: str, raw: bytes) -> None:
    with pytest.raises(StorageFailed):
        UNPACK[kind](raw)


def signed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


@EACH
@given(data=st.data())
@settings(max_examples=200)
def test_bytes_that_were_changed_by_somebody_who_mends_the_checksum(kind: str, data: st.DataObject) -> None:
    body = bytearray(PACKED[kind][:-32])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, min(len(body) - 1, 260)))
        body[at] = data.draw(st.integers(0, 255))
    only_storage_failed(kind, signed(bytes(body)))


@EACH
@given(raw=st.binary(max_size=200), size=st.integers(0, 65535))
def test_an_arbitrary_header_under_a_good_checksum(kind: str, raw: bytes, size: int) -> None:
    only_storage_failed(kind, signed(b"GKA1" + size.to_bytes(2, "little") + raw))


NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4) | st.none() | st.booleans()
SHAPES = st.lists(st.integers(-2, 40) | st.sampled_from([10**6, 2**31, 2**62, 2**63, 10**30]), max_size=4)
ARRAYS = st.lists(
    st.tuples(
        st.sampled_from(["center", "scale", "recent", "kinds", "values", "x"]),
        st.sampled_from(["f4", "f8", "u1", "O", "f2", "<f8"]),
        SHAPES | st.just([1] * 70) | st.just([0, 2**62]),
    ),
    max_size=6,
)


@EACH
@given(
    meta=st.dictionaries(st.sampled_from(["detector", "layout", "samples", "field", "x"]), NUMBERS, max_size=4),
    arrays=ARRAYS,
    buffer=st.binary(max_size=200),
)
@settings(max_examples=200)
def test_a_crafted_header_under_a_good_checksum(kind: str, meta: Any, arrays: Any, buffer: bytes) -> None:
    header = json.dumps({"kind": kind, "meta": meta, "arrays": arrays}).encode()
    only_storage_failed(kind, signed(b"GKA1" + len(header).to_bytes(2, "little") + header + buffer))


@pytest.mark.parametrize("samples", ["many", "", 1e400, float("nan")])
def test_a_number_that_is_none(samples: Any) -> None:
    names = ["center", "scale", "recent", "kinds"]
    meta = {"detector": "nearest-recent-1", "layout": "positions", "samples": samples}
    header = json.dumps({"kind": "template", "meta": meta, "arrays": [(name, "u1", [0]) for name in names]}).encode()
    with pytest.raises(StorageFailed):
        unpack_template(signed(b"GKA1" + len(header).to_bytes(2, "little") + header))


def only_storage_failed(kind: str, raw: bytes) -> None:
    try:
        UNPACK[kind](raw)
    except StorageFailed as refused:
        assert refused.code == "storage_failed"
