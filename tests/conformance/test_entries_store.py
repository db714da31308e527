"""Earlier entries, and what scores are worth, on both databases."""

import asyncio

import numpy as np
import pytest
from support.stores import NOW, Store, assertion, completed, key, lesson, probe, record

from sidecar.domain.entries import Ended, Entry
from sidecar.errors import CaptureUsed
from sidecar.scoring.recalibrate import Correction, Tally
from sidecar.storage import sealed
from sidecar.storage.recalibrations import SqlRecalibrations

pytestmark = pytest.mark.anyio


def entry(login: int, llr: float | None = -2.0, at: float = NOW) -> Entry:
    return Entry("password", "keyboard", probe(login), at, llr, "nearest-recent-1")


async def kept(store: Store, *entries: Entry, tenant: str = "one") -> None:
    for one in entries:
        await store.decisions.record(record(tenant=tenant, at=one.at, entries=(one,), watched="password"))


async def test_what_a_decision_saw_is_there_at_the_next_login_and_says_how_it_ended(store: Store) -> None:
    first = record(entries=(entry(1),), watched="password")
    await store.decisions.record(first)
    await completed(store, first)
    await kept(store, entry(2, at=NOW + 1))
    found = (await store.profiles.remembered("one", "subject", NOW)).entries["password", "keyboard"]
    assert found.ended.tolist() == [Ended.CONFIRMED, Ended.OPEN]
    assert found.accepted("nearest-recent-1").tolist() == [-2.0]
    assert sealed.faults(store.database, store.keys) == []


async def test_of_two_near_copies_that_are_written_at_once_one_is_refused(store: Store) -> None:
    near = entry(5, at=NOW + 1)
    near = Entry("password", "keyboard", type(near.probe)(
        "password", "positions", near.probe.values + np.tile([1.0, 1.0, 0.0], near.probe.values.size // 3),
        near.probe.kinds, near.probe.labels), near.at, None, "")  # fmt: skip
    results = await asyncio.gather(kept(store, entry(5)), kept(store, near), return_exceptions=True)
    assert sorted(type(result) for result in results if result is not None) == [CaptureUsed]
    found = (await store.profiles.remembered("one", "subject", NOW)).entries["password", "keyboard"]
    assert len(found) == 1


async def test_entries_are_one_tenants(store: Store) -> None:
    await kept(store, entry(1))
    await store.learning.import_samples([lesson(at=NOW + n) for n in range(20)], "origin")
    for tenant, wanted in (("one", ["subject"]), ("two", [])):
        assert await store.profiles.latest(tenant, 9) == wanted
        assert await store.profiles.known_after(tenant, "", 9) == wanted
        assert [person.subject for person in await store.profiles.person(tenant, "subject")] == wanted
    assert (await store.profiles.remembered("two", "subject", NOW)).entries == {}
    await kept(store, entry(1), tenant="two")  # the same typing elsewhere is no copy


async def test_members_agreed_and_did_not_pause(store: Store) -> None:
    from sidecar.domain.consent import Consent, ConsentState

    await store.learning.import_samples([lesson(at=NOW + n) for n in range(20)], "origin")
    place = ("one", "password", "keyboard")
    assert await store.profiles.members(*place, 10) == []
    given = Consent(ConsentState.GIVEN, "1", NOW, confirmed=True)
    await store.subjects.stand("one", "subject", given, None, "test", NOW)
    assert await store.profiles.members(*place, 10) == ["subject"]
    assert await store.profiles.members(*place, 21) == []
    assert await store.profiles.members("two", *place[1:], 10) == []
    found = await store.profiles.rows("one", "subject", *place[1:])
    assert found is not None
    assert found[1].shape == (20, found[0].size)
    paused = Consent(ConsentState.GIVEN, "1", NOW, confirmed=True, paused_at=NOW)
    await store.subjects.stand("one", "subject", paused, None, "test", NOW)
    assert await store.profiles.members(*place, 10) == []
    assert await store.profiles.rows("one", "subject", *place[1:]) is None


async def test_entries_go_with_their_time_and_their_person(store: Store) -> None:
    await kept(store, entry(1), entry(2, at=NOW + 86_400))
    await store.retention.retire(NOW + 400.5 * 86_400)
    found = (await store.profiles.remembered("one", "subject", NOW)).entries["password", "keyboard"]
    assert found.at.tolist() == [NOW + 86_400]
    await store.correction.reset("one", "subject", "password", assertion(), "test", NOW)
    assert (await store.profiles.remembered("one", "subject", NOW)).entries == {}
    assert key().field == "password"


async def test_recalibrations_and_their_progress(store: Store) -> None:
    kept_at = SqlRecalibrations(store.database)
    assert await kept_at.in_force() == {}
    tallies = [Tally(), Tally()]
    tallies[1].add(-2.0, own=True)
    await kept_at.advance("one", "m", "subject-9", tallies, 7, NOW)
    assert await kept_at.in_force() == {}
    last, found, people = await kept_at.progress("one", "m", NOW + 80_000)
    assert (last, people) == ("subject-9", 7)
    np.testing.assert_array_equal(found[1].own, tallies[1].own)
    for tenant, now in (("two", NOW), ("one", NOW + 90_000)):
        assert (await kept_at.progress(tenant, "m", now))[0] == ""
    line = Correction(1.1, -0.2, 0, 0, 0.0, 0.0)
    await kept_at.finish("one", "m", line, 30, "test", NOW)
    assert await kept_at.in_force() == {("one", "m"): line}
    assert (await kept_at.progress("one", "m", NOW))[0] == ""
    await kept_at.finish("one", "m", None, 0, "test", NOW)
    assert await kept_at.in_force() == {}
