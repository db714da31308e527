"""Templates and probes as bytes: a versioned, bounds-checked array format. Never pickle; who writes here runs no code.

Layout, little-endian: magic ``GKA1``, header length (u16), JSON header {kind, meta, arrays: [name, dtype, shape]}, the
raw buffers, SHA-256 of all before it.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.domain.biometrics import Floats, Layout, Probe, Template
from sidecar.domain.entries import Entries
from sidecar.errors import StorageFailed

_MAGIC = b"GKA1"
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "f2": np.dtype("<f2"),
    "f4": np.dtype("<f4"),
    "f8": np.dtype("<f8"),
    "i4": np.dtype("<i4"),
    "u1": np.dtype("u1"),
}
_CODES: Final = {"float16": "f2", "float32": "f4", "float64": "f8", "int32": "i4", "uint8": "u1"}
_MAX_ELEMENTS = 1_000_000
_MAX_ARRAYS = 32
_PART = "+"  # begins the name of an array that only one detector knows


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    meta: dict[str, str | int | float]
    arrays: list[tuple[str, str, list[int]]]


def pack_template(template: Template) -> bytes:
    """Encode a template; the recent samples in single precision, which is finer than any clock.

    Whatever a smaller number can hold without a loss is written in the smaller one. Raises ValueError on a part of
    another type than ``Template.parts`` names, or on too many.
    """
    meta: dict[str, str | int | float] = {
        "detector": template.detector,
        "layout": template.layout,
        "samples": template.samples,
    }
    arrays = {
        "center": _smallest(template.center),
        "scale": _smallest(template.scale),
        "recent": _smallest(template.recent.astype("<f4")),
        "kinds": template.kinds,
        **{_PART + name: _smallest(part) for name, part in template.parts.items()},
    }
    if len(arrays) > _MAX_ARRAYS or any(array.dtype.name not in _CODES for array in arrays.values()):
        raise ValueError("a template's parts are too many, or of a type that is not stored")
    return _pack("template", meta, arrays)


def unpack_template(raw: bytes) -> Template:
    """Decode a template. Raises StorageFailed."""
    meta, arrays = _unpack("template", raw)
    try:
        return Template(
            detector=str(meta["detector"]),
            layout="summary" if meta["layout"] == "summary" else "positions",
            center=arrays["center"].astype(np.float64),
            scale=arrays["scale"].astype(np.float64),
            recent=arrays["recent"].astype(np.float64),
            kinds=arrays["kinds"].astype(np.uint8),
            samples=int(meta["samples"]),
            parts={name.removeprefix(_PART): _wide(part) for name, part in arrays.items() if name.startswith(_PART)},
        )
    except (KeyError, ValueError, OverflowError) as wrong:
        raise StorageFailed(f"a stored template is not whole: {wrong}") from None


def pack_probe(probe: Probe) -> bytes:
    """Encode a probe without its labels, which follow from layout and length."""
    return _pack(
        "probe", {"field": probe.field, "layout": probe.layout}, {"values": probe.values, "kinds": probe.kinds}
    )


def unpack_probe(raw: bytes) -> Probe:
    """Decode a probe. Raises StorageFailed."""
    meta, arrays = _unpack("probe", raw)
    try:
        kinds = arrays["kinds"].astype(np.uint8)
        layout: Layout = "summary" if meta["layout"] == "summary" else "positions"
        return Probe(str(meta["field"]), layout, arrays["values"], kinds, ("",) * len(kinds))
    except KeyError as missing:
        raise StorageFailed(f"a stored probe lacks {missing}") from None


def pack_entries(entries: Entries) -> bytes:
    """Encode a list of earlier entries; scores in single precision."""
    arrays = {
        "at": entries.at.astype("<f8"),
        "llr": entries.llr.astype("<f4"),
        "ended": entries.ended,
        "stored": entries.stored,
        "length": entries.length.astype("<i4"),
        "hold": entries.hold,
        "down_down": entries.down_down,
    }
    return _pack("entries", {"model": entries.model}, arrays)


def unpack_entries(raw: bytes) -> Entries:
    """Decode a list of earlier entries. Raises StorageFailed."""
    meta, arrays = _unpack("entries", raw)
    try:
        found = Entries(
            str(meta["model"]),
            arrays["at"].astype(np.float64),
            arrays["llr"].astype(np.float64),
            arrays["ended"].astype(np.uint8),
            arrays["stored"].astype(np.uint8),
            arrays["length"].astype(np.int32),
            arrays["hold"].astype(np.float16),
            arrays["down_down"].astype(np.float16),
        )
    except KeyError as missing:
        raise StorageFailed(f"stored entries lack {missing}") from None
    rows = {len(part) for part in (found.at, found.llr, found.ended, found.stored, found.length, found.hold)}
    if len(rows) > 1 or found.hold.ndim != 2 or found.hold.shape != found.down_down.shape:
        raise StorageFailed("stored entries are not of one length")
    return found


def _pack(kind: str, meta: dict[str, str | int | float], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    table, buffers = [], []
    for name, array in arrays.items():
        code = _CODES[array.dtype.name]
        table.append((name, code, list(array.shape)))
        buffers.append(np.ascontiguousarray(array, _DTYPES[code]).tobytes())
    header = msgspec.json.encode(_Header(kind, meta, table))
    body = _MAGIC + len(header).to_bytes(2, "little") + header + b"".join(buffers)
    return body + hashlib.sha256(body).digest()


def _smallest(array: NDArray[Any]) -> NDArray[Any]:
    """Same numbers in the smallest floating type that holds them all exactly."""
    if array.dtype.kind != "f":
        return array
    for smaller in (np.float16, np.float32):
        with np.errstate(over="ignore"):
            tried = array.astype(smaller)
        if smaller().itemsize < array.dtype.itemsize and np.array_equal(tried, array, equal_nan=True):
            return tried
    return array


def _wide(array: NDArray[Any]) -> NDArray[Any]:
    """Floating numbers as the detectors compute with them."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _unpack(kind: str, raw: bytes) -> tuple[dict[str, str | int | float], dict[str, Floats]]:
    body, digest = raw[:-32], raw[-32:]
    if len(raw) < 38 or body[:4] != _MAGIC or hashlib.sha256(body).digest() != digest:
        raise StorageFailed("a stored array record is damaged")
    size = int.from_bytes(body[4:6], "little")
    try:
        header = msgspec.json.decode(body[6 : 6 + size], type=_Header)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        raise StorageFailed("a stored array record has an unreadable header") from None
    if header.kind != kind:
        raise StorageFailed(f"a stored {header.kind} stands where a {kind} belongs")
    if len(header.arrays) > _MAX_ARRAYS:
        raise StorageFailed("a stored record has too many arrays")
    arrays, offset = {}, 6 + size
    for name, code, shape in header.arrays:
        count = math.prod(shape)
        if code not in _DTYPES or not 0 <= count <= _MAX_ELEMENTS or any(side < 0 for side in shape):
            raise StorageFailed("a stored array is out of bounds")
        end = offset + count * _DTYPES[code].itemsize
        if end > len(body):
            raise StorageFailed("a stored array is cut short")
        try:
            arrays[name] = np.frombuffer(body[offset:end], _DTYPES[code]).reshape(shape).copy()
        except ValueError:
            raise StorageFailed("a stored array has an impossible shape") from None
        offset = end
    if offset != len(body):
        raise StorageFailed("a stored array record has trailing bytes")
    return header.meta, arrays
