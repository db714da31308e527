"""The audit chain's arithmetic: whatever is done to a chain is found, and nothing is found in one that was left alone (SEC7)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.ports import AuditEntry, AuditRow
from sidecar.storage.chain import GENESIS, Checkpoint, key_name, row_hash, signed, signed_beginning, verify

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
tried = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
words = st.text(max_size=5)
entries = st.builds(
    AuditEntry,
    tenant=st.just("one"),
    kind=words,
    actor=words,
    subject=words,
    details=st.dictionaries(
        words, st.one_of(words, st.booleans(), st.integers(-(2**40), 2**40), st.none()), max_size=3
    ),
    at=st.floats(0, 2e9),
)


@dataclass(frozen=True)
class Chain:
    """Rows of a chain, and the checkpoints that were signed along it."""

    rows: tuple[AuditRow, ...]
    points: tuple[Checkpoint, ...]

    def faults(self, witnessed: Sequence[Checkpoint] = ()) -> list[Any]:
        return verify("one", self.rows, self.points, PUBLIC, witnessed)


def linked(found: Sequence[AuditEntry], number: int = 0, previous: str = GENESIS) -> tuple[AuditRow, ...]:
    """Chain entries as the store does, behind a row of this number and hash."""
    rows = []
    for entry in found:
        number += 1
        digest = row_hash(number, entry, previous)
        rows.append(AuditRow(number, entry, previous, digest))
        previous = digest
    return tuple(rows)


def point(row: AuditRow) -> Checkpoint:
    return signed("one", row.number, row.hash, row.entry.at, KEY)


@st.composite
def chains(draw: st.DrawFn, least: int = 2) -> Chain:
    rows = linked(draw(st.lists(entries, min_size=least, max_size=6)))
    where = draw(st.sets(st.integers(1, max(1, len(rows))), max_size=3))
    return Chain(rows, tuple(point(row) for row in rows if row.number in where))


def without(chain: Chain, numbers: set[int]) -> Chain:
    return Chain(tuple(row for row in chain.rows if row.number not in numbers), chain.points)


@tried
@given(chains(least=0), st.data())
def test_nothing_is_found_in_a_chain_that_was_left_alone(chain: Chain, data: st.DataObject) -> None:
    assert chain.faults() == []
    seen = [each for each in chain.points if data.draw(st.booleans())]
    assert chain.faults([*seen, *seen]) == []


@tried
@given(chains(), st.data())
def test_sec7_any_changed_field_of_any_row_is_found_and_the_row_named(chain: Chain, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(chain.rows) - 1))
    row = chain.rows[at]
    name = data.draw(st.sampled_from(["kind", "actor", "subject", "details", "at", "tenant", "previous", "hash"]))
    old = getattr(row.entry, name) if hasattr(row.entry, name) else getattr(row, name)
    fresh: Any = st.floats(0, 2e9) if name == "at" else st.just({"else": 1}) if name == "details" else words
    new = data.draw(fresh.filter(lambda value: value != old))
    changed = (
        replace(row, entry=replace(row.entry, **{name: new}))
        if hasattr(row.entry, name)
        else replace(row, **{name: new})
    )
    faults = Chain((*chain.rows[:at], changed, *chain.rows[at + 1 :]), chain.points).faults()
    assert row.number in {fault.number for fault in faults} | {fault.number - 1 for fault in faults}


@tried
@given(chains(), st.data())
def test_sec7_a_removed_row_is_found_unless_it_was_the_unsigned_end(chain: Chain, data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(1, len(chain.rows)), min_size=1))
    left = without(chain, gone)
    end = max((row.number for row in left.rows), default=0)
    only_the_end = gone == set(range(end + 1, len(chain.rows) + 1))
    unsigned = all(each.number <= end for each in chain.points)
    assert bool(left.faults()) is not (only_the_end and unsigned)
    assert left.faults([point(chain.rows[-1])])  # the second place knows that there was more, or other rows


@tried
@given(chains(), st.data())
def test_sec7_two_rows_exchanged_are_found(chain: Chain, data: st.DataObject) -> None:
    one, two = sorted(data.draw(st.sets(st.integers(0, len(chain.rows) - 1), min_size=2, max_size=2)))
    rows = list(chain.rows)
    rows[one], rows[two] = (
        replace(rows[two], number=rows[one].number),
        replace(rows[one], number=rows[two].number),
    )
    assert Chain(tuple(rows), chain.points).faults()
    rows[one], rows[two] = chain.rows[two], chain.rows[one]
    assert Chain(tuple(rows), chain.points).faults()


@tried
@given(chains(), entries, st.data())
def test_sec7_an_inserted_row_is_found(chain: Chain, entry: AuditEntry, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(chain.rows) - 1))
    before = chain.rows[at].previous
    fresh = linked([entry], chain.rows[at].number - 1, before)
    moved = tuple(replace(row, number=row.number + 1) for row in chain.rows[at:])
    assert Chain((*chain.rows[:at], *fresh, *moved), chain.points).faults()
    assert Chain((*chain.rows[:at], *fresh, *chain.rows[at:]), chain.points).faults()  # the same number twice


@tried
@given(chains(), entries, st.data())
def test_sec7_hashes_made_anew_are_found_by_what_was_signed(
    chain: Chain, entry: AuditEntry, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(chain.rows) - 1))
    kept, old = chain.rows[:at], chain.rows[at]
    forged = linked([entry, *(row.entry for row in chain.rows[at + 1 :])], at, old.previous)
    if forged[0].hash == old.hash:
        return
    signed_after = any(each.number > at for each in chain.points)
    assert bool(Chain((*kept, *forged), chain.points).faults()) is signed_after
    assert Chain((*kept, *forged), chain.points).faults([point(chain.rows[-1])])
    without_points = Chain((*kept, *forged), tuple(each for each in chain.points if each.number <= at))
    assert without_points.faults() == []
    assert without_points.faults([point(chain.rows[-1])])


@tried
@given(chains(), st.data())
def test_sec7_a_checkpoint_of_another_key_tenant_number_hash_or_time_does_not_hold(
    chain: Chain, data: st.DataObject
) -> None:
    row = data.draw(st.sampled_from(chain.rows))
    good = point(row)
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    bad = data.draw(
        st.sampled_from(
            [
                replace(good, tenant="two"),
                replace(good, number=good.number + 1),
                replace(good, hash="0" * 64),
                replace(good, at=good.at + 1),
                replace(good, key="0" * 16),
                replace(good, signature=""),
                replace(good, signature="not hex"),
                replace(good, signature=good.signature[:-2]),
                signed("one", row.number, row.hash, row.entry.at, stranger),
                replace(signed("one", row.number, row.hash, row.entry.at, stranger), key=key_name(PUBLIC)),
                signed("two", row.number, row.hash, row.entry.at, KEY),
            ]
        )
    )
    assert any("signature" in fault.what for fault in Chain(chain.rows, (bad,)).faults())
    assert any("signature" in fault.what for fault in Chain(chain.rows, ()).faults([bad]))


@tried
@given(st.lists(entries, min_size=1, max_size=6), st.data())
def test_what_retention_removed_is_no_fault_and_what_anybody_else_removed_is(
    found: list[AuditEntry], data: st.DataObject
) -> None:
    """A beginning that is gone is right only where the key has said so: a checkpoint alone permits nothing."""
    rows = linked(found)
    at = data.draw(st.integers(1, len(rows)))
    plain = point(rows[at - 1])
    later = tuple(point(row) for row in rows[at:])
    assert Chain(rows[at:], (signed_beginning(plain, KEY), *later)).faults() == []
    assert Chain(rows[at:], (signed_beginning(plain, KEY), *later)).faults([point(row) for row in rows]) == []
    assert Chain(rows[at:], (plain, *later)).faults()
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    assert Chain(rows[at:], (signed_beginning(plain, stranger), *later)).faults()
    if at < len(rows):  # a beginning permits its own prefix, not one row more
        assert Chain(rows[at + 1 :], (signed_beginning(plain, KEY), *later)).faults()
        assert Chain((), (signed_beginning(plain, KEY), *later)).faults()
    whole = Chain(rows, (signed_beginning(plain, KEY), *later))
    assert whole.faults() == []  # said, and not yet done


@pytest.mark.parametrize("count", [0, 1, 5])
def test_an_empty_chain_is_sound_only_where_nothing_is_known_of_it(count: int) -> None:
    rows = linked([AuditEntry("one", "kind", "actor", "", {}, float(number)) for number in range(count)])
    assert verify("one", (), (), PUBLIC) == []
    if rows:
        assert verify("one", (), [point(rows[-1])], PUBLIC)
        assert verify("one", (), (), PUBLIC, [point(rows[-1])])
        assert verify("one", (), [signed_beginning(point(rows[-1]), KEY)], PUBLIC) == []
