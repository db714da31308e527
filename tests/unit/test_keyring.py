"""Keys and seals: what was moved, changed or sealed under another key does not open, and sizes tell nothing (PRV4)."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.world import rows_of

from sidecar.errors import ConfigInvalid, NotFound, StorageFailed
from sidecar.evaluation.synthetic import probe_of
from sidecar.keyring import Keyring, Seal, batch_seal, derive
from sidecar.masters import Masters
from sidecar.rehearsal.payload import hidden_field
from sidecar.scoring import DETECTORS
from sidecar.scoring.contract import Sample
from sidecar.storage.arrays import pack_probe, pack_template
from sidecar.storage.database import Database
from sidecar.storage.keystore import SqlKeys
from sidecar.storage.schema import prepare
from sidecar.storage.sqlite import Sqlite
from sidecar.wire import decode_hidden, encode_batch


def load_keyring(base: Path) -> Keyring:
    """The keys of an installation whose key store lies in ``base``, made on first use."""
    master = base / "master.json"
    if not master.exists():
        Masters.init(master)
    driver = Sqlite(base / "user-keys.db", journal="DELETE")
    prepare(driver, "keys")
    keys = SqlKeys(Database(driver), Masters(f"file:{master}"))
    try:
        return keys.keyring(["tenant", "one", "two"])
    finally:
        keys.close()


SEAL = Seal(bytes(32))
PLACE = ("templates", "sealed", "tenant", "subject")


@given(st.binary(max_size=70_000))
def test_what_is_closed_opens_at_its_place(plain: bytes) -> None:
    assert SEAL.open(SEAL.close(plain, *PLACE), *PLACE) == plain


@pytest.mark.parametrize(
    "place",
    [
        ("samples", "sealed", "tenant", "subject"),
        ("templates", "sealed", "tenant", "other"),
        ("templates", "sealed", "other", "subject"),
        ("templates", "sealed", "tenant"),
        (),
    ],
)
def test_a_sealed_value_that_was_moved_does_not_open(place: tuple[str, ...]) -> None:
    with pytest.raises(StorageFailed):
        SEAL.open(SEAL.close(b"plain", *PLACE), *place)


def test_no_flipped_bit_is_overlooked() -> None:
    sealed = SEAL.close(b"plain", *PLACE)
    for at in [*range(0, 64), *range(len(sealed) - 32, len(sealed))]:
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(StorageFailed):
            SEAL.open(bytes(changed), *PLACE)


@given(st.binary(max_size=64))
def test_garbage_does_not_open(garbage: bytes) -> None:
    with pytest.raises(StorageFailed):
        SEAL.open(garbage, *PLACE)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(StorageFailed):
        Seal(derive(bytes(32), "records")).open(SEAL.close(b"plain", *PLACE), *PLACE)


def test_the_same_value_never_seals_to_the_same_bytes() -> None:
    assert len({SEAL.close(b"plain", *PLACE) for _ in range(50)}) == 50


def test_waiting_batches_open_only_with_their_token() -> None:
    sealed = batch_seal("token one").close(b"batch", "waiting_batches", "c", "0")
    with pytest.raises(StorageFailed):
        batch_seal("token two").open(sealed, "waiting_batches", "c", "0")


LENGTHS = range(6, 17)


def test_sealed_samples_of_passwords_of_6_to_16_characters_have_one_size() -> None:
    sizes = {len(SEAL.close(pack_probe(probe_of(rows_of(1, 1, n))), "samples", "sealed")) for n in LENGTHS}
    assert len(sizes) == 1


@pytest.mark.parametrize("samples", [1, 3, 10, 30, 200])
def test_sealed_templates_of_passwords_of_6_to_16_characters_have_one_size(samples: int) -> None:
    detector = DETECTORS["nearest-recent-1"]
    sizes = set()
    for length in LENGTHS:
        probes = [probe_of(rows_of(1, number, length)) for number in range(samples)]
        taught = [Sample(probe.values, float(index)) for index, probe in enumerate(probes)]
        template = detector.enroll(taught, probes[0].kinds, "positions")
        sizes.add(len(SEAL.close(pack_template(template), "templates", "sealed")))
    assert len(sizes) == 1


def test_sealed_waiting_batches_of_passwords_of_6_to_16_characters_have_one_size() -> None:
    sizes = set()
    for length in LENGTHS:
        batch = decode_hidden(hidden_field(rows_of(1, 1, length)).encode()).b[0]
        sizes.add(len(SEAL.close(encode_batch(batch), "waiting_batches", "c", "0")))
    assert len(sizes) == 1


def test_keys_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    first, second = load_keyring(tmp_path / "data"), load_keyring(tmp_path / "data")
    assert first.captures == second.captures
    assert first.signing == second.signing
    assert stat.S_IMODE((tmp_path / "data" / "master.json").stat().st_mode) == 0o600


def test_no_two_purposes_share_a_key(tmp_path: Path) -> None:
    ring = load_keyring(tmp_path)
    mine = [key for tenant in ring.tenants.values() for key in (tenant.pseudonyms, tenant.digests)]
    made = [ring.captures, *mine, bytes.fromhex(ring.cookies)]
    assert len(set(made)) == len(made)
    assert all(len(key) == 32 for key in made)
    master = json.loads((tmp_path / "master.json").read_text())["keys"].values()
    assert not set(master) & {key.hex() for key in made}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "x",
        "[]",
        "null",
        "{}",
        '{"current": "0a0a0a0a", "keys": {}}',
        '{"current": "0a0a0a0a", "keys": {"0a0a0a0a": "zz"}}',
        '{"current": "0a0a0a0a", "keys": {"0a0a0a0a": "00"}}',
        '{"current": "NOT-HEX!", "keys": {"NOT-HEX!": "' + "00" * 32 + '"}}',
    ],
)
def test_a_spoilt_key_file_stops_the_start_and_is_not_replaced(tmp_path: Path, content: str) -> None:
    load_keyring(tmp_path)
    (tmp_path / "master.json").write_text(content)
    with pytest.raises(ConfigInvalid, match="master"):
        load_keyring(tmp_path)
    assert (tmp_path / "master.json").read_text() == content


def test_prv6_pseudonyms_differ_by_tenant_key_and_split(tmp_path: Path) -> None:
    ring, other = load_keyring(tmp_path / "a"), load_keyring(tmp_path / "b")
    names = [
        ring.pseudonym("one", "ann"),
        ring.pseudonym("two", "ann"),
        ring.pseudonym("one", "nn"),
        ring.pseudonym("one", "ann "),
        other.pseudonym("one", "ann"),
    ]
    assert len(set(names)) == len(names)
    assert all("ann" not in name for name in names)
    with pytest.raises(NotFound):
        ring.pseudonym("onea", "nn")


def test_digests_tell_timings_apart_by_a_tick_and_by_person(tmp_path: Path) -> None:
    ring = load_keyring(tmp_path)
    values = np.array([90.0, 100.0])
    made = {
        ring.digest("one", "ann", values.tobytes()),
        ring.digest("one", "ben", values.tobytes()),
        ring.digest("two", "ann", values.tobytes()),
        ring.digest("one", "ann", (values + 0.1).tobytes()),
    }
    assert len(made) == 4


def test_two_processes_starting_at_once_agree_on_the_key(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    (tmp_path / "data").mkdir()
    load_keyring(tmp_path / "data")
    with ThreadPoolExecutor(4) as pool:
        rings = list(pool.map(lambda _: load_keyring(tmp_path / "data"), range(8)))
    assert len({ring.captures for ring in rings}) == 1
