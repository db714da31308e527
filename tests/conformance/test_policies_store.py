"""Published policies on every store: slots that two publishers cannot both win, fares by period, rows noted once."""

import asyncio
from dataclasses import replace

import pytest
from support.stores import NOW, Store

from sidecar.errors import PolicyConflict
from sidecar.ports import Audience, AuditEntry, Checked, Fare, PolicySlot, PolicyVersion
from sidecar.storage.audit import appending
from sidecar.storage.database import Database
from sidecar.storage.policies import SqlPolicies, note_fare
from sidecar.usecases.publish import Publisher

pytestmark = pytest.mark.anyio


def version(author: str = "ann", digest: str = "d") -> PolicyVersion:
    return PolicyVersion(0, digest, "named", b"text", (("a.test.yaml", "cases"),), None, author, NOW, "why")


def entry(**details: object) -> AuditEntry:
    return AuditEntry("*", "policy.refused", "sidecar", "", details, NOW)


async def test_pol12_of_two_publishers_exactly_one_wins(store: Store) -> None:
    """Both have seen the slots before either moves them; they meet in the check. Each is a sidecar of its own."""
    other = Database(store.database.driver, before_commit=appending(store.keys.audit_key()))
    met = asyncio.Barrier(2)

    async def check(found: PolicyVersion) -> Checked:
        await met.wait()
        return Checked("named", found.digest)

    try:
        for _ in range(5):
            publishers = [
                Publisher(SqlPolicies(database), SqlPolicies(database), check, False, lambda: NOW)
                for database in (store.database, other)
            ]
            results = await asyncio.gather(
                *(publisher.propose(version(f"p{n}")) for n, publisher in enumerate(publishers)), return_exceptions=True
            )
            assert {type(result) for result in results} == {PolicyConflict, tuple}
            won = next(result for result in results if isinstance(result, tuple))
            assert (await SqlPolicies(other).slots())["enforced"].number == won[0]
        assert len(await SqlPolicies(other).history(20)) == 10
        assert await store.audit.verify() == []
    finally:
        other.close()


async def test_pol12_a_version_is_kept_as_it_was(store: Store) -> None:
    policies = SqlPolicies(store.database)
    number = await policies.add(version(), entry(added=True))
    assert await policies.version(number) == replace(version(), number=number)
    assert await policies.version(number + 1) is None


async def test_pol12_fares_are_counted_by_place_and_time(store: Store) -> None:
    policies = SqlPolicies(store.database)
    first = PolicySlot(3, Audience(), "ann", None, NOW + 1 / 3)

    async def fared(slot: PolicySlot, tenant: str, subject: str, passed: bool) -> None:
        await store.database.write(
            lambda connection: note_fare(connection, slot.number, slot.at, tenant, subject, passed, NOW)
        )

    for subject, passed in (("a", False), ("a", True), ("a", False), ("b", False)):
        await fared(first, "one", subject, passed)
    await fared(first, "two", "a", False)
    assert await policies.fares(first) == {"one": Fare(2, 1), "two": Fare(1, 0)}
    for later in (replace(first, at=NOW + 60), replace(first, number=4)):
        assert await policies.fares(later) == {}
    await fared(replace(first, at=NOW + 60), "one", "a", False)
    assert await policies.fares(replace(first, at=NOW + 60)) == {"one": Fare(1, 0)}


async def test_pol12_a_row_is_noted_once_whoever_meets_it(store: Store) -> None:
    other = Database(store.database.driver, before_commit=appending(store.keys.audit_key()))
    try:
        both = SqlPolicies(store.database), SqlPolicies(other)
        told = await asyncio.gather(*(policies.note_once(entry(number=1, why="spoilt")) for policies in both))
        assert sorted(told) == [False, True]
        assert await both[0].note_once(entry(number=2, why="spoilt"))
        assert not await both[1].note_once(entry(number=1, why="spoilt"))
        assert len(await store.audit.newest("*", 10)) == 2
    finally:
        other.close()
