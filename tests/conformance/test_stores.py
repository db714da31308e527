"""Every store against every promise of ``sidecar.ports``. A new implementation joins by one entry in ``STORES``."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from support.stores import NOW, Store, assertion, completed, fresh, item, key, lesson, probe, record

from sidecar.domain.biometrics import Provenance
from sidecar.domain.decisions import Evidence
from sidecar.errors import BatchOutOfOrder, CaptureUsed, GaitkeeperError, IdempotencyConflict, TokenReplayed
from sidecar.ports import SessionEnd

pytestmark = pytest.mark.anyio


class TestDecisions:
    async def test_what_is_recorded_is_all_there(self, store: Store) -> None:
        await store.captures.append("c", 0, b"sealed", int(NOW) + 600)
        one = record(uses=("capture:c",))
        await store.decisions.record(one)
        found = await store.decisions.get("one", one.id)
        assert found
        assert (found.id, found.subject, found.at, found.completion) == (one.id, "subject", NOW, None)
        assert found.body == one.body
        assert await store.decisions.seen("one", one.digests)
        assert await store.directory.person("one", "subject") == {"id": "ann", "name": "Ann"}
        assert [item.id for item in await store.outbox.due(NOW, 10)] == [one.outbox[0].id]
        (waiting,) = await store.learning.waiting("one", one.id)
        np.testing.assert_array_equal(waiting.values, one.waiting[0].values)
        assert await store.captures.waiting("c") == []

    async def test_a_session_is_found_by_its_newest_report(self, store: Store) -> None:
        body = record().body | {"sid": "s"}
        login, check = record(body=body), record(body=body | {"action": "session_check"})
        check = replace(check, body=check.body | {"session": {"login": login.id, "factor_at": NOW}})
        other = record(body=body | {"sid": "t"})
        for one in (login, check, other):
            await store.decisions.record(one)
        unreported = await store.sessions.running("one", "subject", "s", NOW)
        assert unreported.login
        assert (unreported.login.id, unreported.factor_at) == (login.id, None)
        assert (await store.sessions.running("one", "subject", "s", NOW + 7200)).login is None  # no report ever came
        await completed(store, login, sid="s")
        await completed(store, other, sid="t", second_factor=False)
        assert (await store.sessions.running("one", "subject", "s", NOW + 7200)).factor_at == NOW
        await completed(store, check, sid="s", second_factor=False, at=NOW + 60)
        found = await store.sessions.running("one", "subject", "s", NOW + 7200)
        assert found.login
        assert (found.login.id, found.factor_at) == (login.id, NOW)
        for stranger in (("one", "somebody", "s"), ("two", "subject", "s"), ("one", "subject", "none")):
            assert (await store.sessions.running(*stranger, NOW)).login is None

    @pytest.mark.parametrize(
        ("again", "error"),
        [
            ("assertion", TokenReplayed),
            ("uses", CaptureUsed),
            ("digests", CaptureUsed),
            ("idempotency", IdempotencyConflict),
        ],
    )
    async def test_one_that_is_refused_leaves_no_row_in_any_table(
        self, store: Store, again: str, error: type[GaitkeeperError]
    ) -> None:
        first = record()
        await store.decisions.record(first)
        await store.captures.append("waits", 0, b"sealed", int(NOW) + 600)
        before = store.everything()
        second = record(subject="other", directory={"id": "ben", "name": "Ben"}, **{again: getattr(first, again)})
        if again == "uses":
            second = replace(second, uses=(f"capture:{fresh('c')}", *first.uses))
        with pytest.raises(error):
            await store.decisions.record(second)
        assert store.everything() == before
        assert await store.directory.person("one", "other") == {}

    async def test_a_refused_one_does_not_take_those_written_with_it_along(self, store: Store) -> None:
        first = record()
        await store.decisions.record(first)
        many = [record(uses=first.uses) if number % 2 else record() for number in range(20)]
        results = await asyncio.gather(*(store.decisions.record(one) for one in many), return_exceptions=True)
        assert [isinstance(result, CaptureUsed) for result in results] == [bool(number % 2) for number in range(20)]
        assert {one.id for one in await store.decisions.recent(["one"], 50)} == {first.id} | {
            one.id for one in many[::2]
        }

    async def test_of_many_at_once_on_one_capture_exactly_one_wins(self, store: Store) -> None:
        results = await asyncio.gather(
            *(store.decisions.record(record(uses=("capture:c",))) for _ in range(25)), return_exceptions=True
        )
        assert sum(result is None for result in results) == 1
        assert sum(isinstance(result, CaptureUsed) for result in results) == 24
        assert len(await store.decisions.recent(["one"], 50)) == 1
        assert len(await store.outbox.due(NOW, 50)) == 1

    async def test_sec1_of_many_at_once_with_one_jti_exactly_one_wins(self, store: Store) -> None:
        same = assertion()
        results = await asyncio.gather(
            *(store.decisions.record(record(assertion=same)) for _ in range(10)),
            *(store.assertions.spend(same) for _ in range(10)),
            return_exceptions=True,
        )
        assert sum(result is None for result in results) == 1

    async def test_sec1_a_jti_is_one_issuers_own(self, store: Store) -> None:
        await store.assertions.spend(("http://one", "same", 1))
        await store.assertions.spend(("http://two", "same", 1))
        with pytest.raises(TokenReplayed):
            await store.assertions.spend(("http://one", "same", 2))

    async def test_digests_are_a_tenants_own(self, store: Store) -> None:
        one = record()
        await store.decisions.record(one)
        assert not await store.decisions.seen("two", one.digests)
        assert not await store.decisions.seen("one", [])
        assert await store.decisions.seen("one", ["unknown", *one.digests])
        await store.decisions.record(record(tenant="two", digests=one.digests))

    async def test_repeated_returns_the_first_decision_of_a_key(self, store: Store) -> None:
        one = record(idempotency=("key", "digest one"))
        await store.decisions.record(one)
        found = await store.decisions.repeated("http://idp", "key")
        assert found
        assert (found[0], found[1].id) == ("digest one", one.id)
        assert await store.decisions.repeated("http://other", "key") is None
        assert await store.decisions.repeated("http://idp", "other") is None

    async def test_a_decision_is_its_tenants_own(self, store: Store) -> None:
        one = record()
        await store.decisions.record(one)
        assert await store.decisions.get("two", one.id) is None
        assert await store.decisions.get("one", "unknown") is None
        assert await store.directory.person("two", "subject") == {}

    async def test_recent_is_newest_first_and_of_the_tenants_asked_for(self, store: Store) -> None:
        many = [record() for _ in range(5)]
        for one in many:
            await store.decisions.record(one)
        names = [one.id for one in many]
        assert [one.id for one in await store.decisions.recent(["one"], 3)] == names[:1:-1]
        await store.decisions.record(record(tenant="two"))
        assert [one.id for one in await store.decisions.recent(["one"], 1)] == [names[4]]
        assert len(await store.decisions.recent(["one", "two"], 10)) == 6
        assert await store.decisions.recent([], 10) == []

    async def test_the_newest_name_of_a_person_holds(self, store: Store) -> None:
        await store.decisions.record(record())
        await store.decisions.record(record(directory={"id": "ann", "name": "Ann Newname"}))
        assert (await store.directory.person("one", "subject"))["name"] == "Ann Newname"

    async def test_prv6_no_plain_name_and_no_timing_is_stored(self, store: Store) -> None:
        await store.decisions.record(record(directory={"id": "someone-special", "name": "Special Name"}))
        text = repr(store.everything())
        assert "special" not in text.lower()


class TestCaptures:
    async def test_batches_come_back_in_order_and_only_their_own(self, store: Store) -> None:
        for seq in (0, 1, 5):
            await store.captures.append("c", seq, bytes([seq]), int(NOW) + 600)
        await store.captures.append("d", 0, b"d", int(NOW) + 600)
        assert await store.captures.waiting("c") == [(0, b"\0"), (1, b"\1"), (5, b"\5")]
        assert await store.captures.waiting("unknown") == []

    @pytest.mark.parametrize("seq", [0, 2, 3])
    async def test_a_replayed_or_lower_number_is_refused(self, store: Store, seq: int) -> None:
        await store.captures.append("c", 0, b"0", int(NOW) + 600)
        await store.captures.append("c", 3, b"3", int(NOW) + 600)
        before = store.everything()
        with pytest.raises(BatchOutOfOrder):
            await store.captures.append("c", seq, b"x", int(NOW) + 600)
        assert store.everything() == before

    async def test_a_used_capture_takes_no_more(self, store: Store) -> None:
        await store.captures.append("c", 0, b"0", int(NOW) + 600)
        await store.decisions.record(record(uses=("capture:c",)))
        with pytest.raises(CaptureUsed):
            await store.captures.append("c", 1, b"1", int(NOW) + 600)
        assert await store.captures.waiting("c") == []

    async def test_of_many_with_one_number_at_once_exactly_one_is_kept(self, store: Store) -> None:
        results = await asyncio.gather(
            *(store.captures.append("c", 0, bytes([number]), int(NOW) + 600) for number in range(20)),
            return_exceptions=True,
        )
        assert sum(result is None for result in results) == 1
        assert len(await store.captures.waiting("c")) == 1

    async def test_one_capture_holds_a_bounded_number_of_batches(self, store: Store) -> None:
        with pytest.raises(BatchOutOfOrder):
            for seq in range(1000):
                await store.captures.append("c", seq, b"x", int(NOW) + 600)
        assert 10 <= len(await store.captures.waiting("c")) <= 200

    async def test_purge_drops_what_is_over_and_nothing_else(self, store: Store) -> None:
        await store.captures.append("old", 0, b"x", int(NOW) - 1)
        await store.captures.append("new", 0, b"x", int(NOW) + 1)
        await store.assertions.spend(("http://idp", "old", int(NOW) - 61))
        await store.assertions.spend(("http://idp", "new", int(NOW) - 59))
        abandoned, waiting = record(at=NOW - 3601), record(at=NOW - 3599)
        await store.decisions.record(abandoned)
        await store.decisions.record(waiting)
        assert sum((await store.retention.purge(NOW)).values()) == 3
        assert (await store.captures.waiting("old"), len(await store.captures.waiting("new"))) == ([], 1)
        await store.assertions.spend(("http://idp", "old", int(NOW)))
        with pytest.raises(TokenReplayed):
            await store.assertions.spend(("http://idp", "new", int(NOW)))
        assert (
            await store.learning.waiting("one", abandoned.id),
            len(await store.learning.waiting("one", waiting.id)),
        ) == ([], 1)
        assert sum((await store.retention.purge(NOW)).values()) == 0

    async def test_purge_keeps_what_refuses_a_replay_as_long_as_it_could_be_replayed(self, store: Store) -> None:
        one = record(uses=("capture:c",), at=NOW)
        await store.decisions.record(one)
        await store.retention.purge(NOW + 700)  # a capture lives for 600 seconds
        with pytest.raises(CaptureUsed):
            await store.captures.append("c", 0, b"x", int(NOW) + 600)
        await store.retention.purge(NOW + 300 * 86_400)
        assert await store.decisions.seen("one", one.digests)
        assert await store.decisions.get("one", one.id)


class TestLearning:
    async def test_enr2_a_completion_teaches_once(self, store: Store) -> None:
        one = record()
        await store.decisions.record(one)
        assert await completed(store, one, lessons=[lesson()])
        assert not await completed(store, one, lessons=[lesson()])
        (found,) = await store.profiles.find("one", "subject")
        assert (found.samples, found.confirmed, found.last_at) == (1, True, NOW)
        assert await store.learning.waiting("one", one.id) == []
        decision = await store.decisions.get("one", one.id)
        assert decision
        assert decision.completion == {"outcome": "succeeded", "second_factor": True, "sid": None, "at": NOW}

    async def test_enr2_completed_by_many_at_once_it_teaches_once(self, store: Store) -> None:
        one = record()
        await store.decisions.record(one)
        closed = await asyncio.gather(*(completed(store, one, lessons=[lesson()]) for _ in range(10)))
        assert sum(closed) == 1
        assert (await store.profiles.find("one", "subject"))[0].samples == 1
        assert len(await store.profiles.usual("one", "subject")) == 1

    @pytest.mark.parametrize("outcome", ["failed", "abandoned"])
    async def test_enr2_what_did_not_succeed_teaches_nothing(self, store: Store, outcome: str) -> None:
        one = record()
        await store.decisions.record(one)
        assert await completed(store, one, outcome, [lesson()])
        assert await store.profiles.find("one", "subject") == []
        assert await store.profiles.usual("one", "subject") == []
        assert await store.learning.waiting("one", one.id) == []

    async def test_a_replayed_assertion_closes_and_teaches_nothing(self, store: Store) -> None:
        one, same = record(), assertion()
        await store.decisions.record(one)
        await store.assertions.spend(same)
        decision = await store.decisions.get("one", one.id)
        assert decision
        before = store.everything()
        with pytest.raises(TokenReplayed):
            await store.learning.complete(
                decision, {"outcome": "succeeded", "second_factor": True, "at": NOW}, [lesson()], same
            )
        assert store.everything() == before

    async def test_usual_keeps_the_newest_five(self, store: Store) -> None:
        for how in ("typed", "filled", "filled", "pasted", "unknown", "none", "filled"):
            one = record(body=record().body | {"facts": {"provenance.password": how}})
            await store.decisions.record(one)
            await completed(store, one)
        kept = await store.profiles.usual("one", "subject")
        assert kept == [Provenance.FILLED, Provenance.NONE, None, Provenance.PASTED, Provenance.FILLED]

    async def test_profiles_are_kept_apart_by_every_part_of_their_key(self, store: Store) -> None:
        others = [
            key(),
            key("username"),
            key(context="touch"),
            key(subject="other"),
            key(tenant="two"),
            key(modality="mouse"),
        ]
        await store.learning.import_samples([lesson(key=each) for each in others for _ in range(2)], "origin")
        assert len(await store.profiles.find("one", "subject")) == 4
        assert len(await store.profiles.find("two", "subject")) == 1
        assert [len(await store.profiles.samples(each)) for each in others] == [2] * 6

    async def test_samples_are_oldest_first_and_bounded_to_the_newest(self, store: Store) -> None:
        probes = [probe(number) for number in range(303)]
        await store.learning.import_samples(
            [lesson(at=NOW + number, probe=each) for number, each in enumerate(probes)], "origin"
        )
        kept = await store.profiles.samples(key())
        assert [sample.at for sample in kept] == [NOW + number for number in range(3, 303)]
        np.testing.assert_allclose(kept[-1].values, probes[-1].values)
        assert (await store.profiles.find("one", "subject"))[0].samples == 200

    async def test_one_stray_length_does_not_unseat_a_profile(self, store: Store) -> None:
        lessons = [lesson(at=NOW + number) for number in range(12)]
        await store.learning.import_samples([*lessons, lesson(at=NOW + 20, probe=probe(1, length=9))], "origin")
        (found,) = await store.profiles.find("one", "subject")
        assert (found.samples, len(found.template.center)) == (12, 24)

    async def test_taught_since_counts_by_field(self, store: Store) -> None:
        lessons = [lesson(at=NOW - 10), lesson(at=NOW), lesson(at=NOW), lesson(at=NOW, key=key("username"))]
        await store.learning.import_samples(lessons, "origin")
        assert dict(await store.learning.taught_since("one", "subject", NOW - 5)) == {
            ("password", Evidence.SECOND_FACTOR): 2,
            ("username", Evidence.SECOND_FACTOR): 1,
        }
        assert dict(await store.learning.taught_since("two", "subject", 0)) == {}

    async def test_enr4_resetting_one_field_leaves_the_other(self, store: Store) -> None:
        await store.learning.import_samples([lesson(), lesson(key=key("username"))], "origin")
        one = record(waiting=(probe(900), probe(901, "username")))
        await store.decisions.record(one)
        await store.correction.reset("one", "subject", "password", assertion(), "test", NOW)
        assert [found.key.field for found in await store.profiles.find("one", "subject")] == ["username"]
        assert [waiting.field for waiting in await store.learning.waiting("one", one.id)] == ["username"]
        assert await store.profiles.samples(key()) == []
        assert await store.decisions.get("one", one.id)

    async def test_enr4_a_password_change_between_reading_and_closing_wins(self, store: Store) -> None:
        """The old password's probe was learned into the new profile when the user name's probe was waiting too."""
        one = record(waiting=(probe(910), probe(911, "username")))
        await store.decisions.record(one)
        lessons = [lesson(), lesson(key=key("username"))]
        await store.correction.reset("one", "subject", "password", assertion(), "test", NOW)
        assert await completed(store, one, lessons=lessons)
        assert [found.key.field for found in await store.profiles.find("one", "subject")] == ["username"]

    async def test_forgetting_a_person_leaves_no_row_that_names_them(self, store: Store) -> None:
        for subject in ("subject", "other"):
            kept = record(subject=subject, outbox=(item(body={"subject": subject}),))
            await store.decisions.record(kept)
            await completed(store, kept, lessons=[lesson(key=key(subject=subject))])
            await store.decisions.record(record(subject=subject, outbox=(item(body={"subject": subject}),)))
        await store.correction.reset("one", "subject", None, assertion(), "test", NOW)
        kept_rows = store.everything()
        assert {row[5] for row in kept_rows.pop("audit")} == {
            "subject",
            "other",
        }  # of pseudonyms, as long as it is kept
        assert "'subject'" not in repr(kept_rows)
        assert '"subject":"subject"' not in repr(kept_rows)
        assert len(await store.profiles.find("one", "other")) == 1
        assert len(await store.outbox.due(NOW, 10)) == 2
        assert await store.directory.person("one", "other")

    async def test_forgetting_is_the_tenants_own(self, store: Store) -> None:
        await store.learning.import_samples([lesson(key=key(tenant="two"))], "origin")
        await store.correction.reset("one", "subject", None, assertion(), "test", NOW)
        assert len(await store.profiles.find("two", "subject")) == 1

    async def test_a_reset_with_a_replayed_assertion_forgets_nothing(self, store: Store) -> None:
        same = assertion()
        await store.assertions.spend(same)
        await store.learning.import_samples([lesson()], "origin")
        with pytest.raises(TokenReplayed):
            await store.correction.reset("one", "subject", None, same, "test", NOW)
        assert len(await store.profiles.find("one", "subject")) == 1

    async def test_lessons_of_a_forgotten_decision_are_not_learned(self, store: Store) -> None:
        one = record()
        await store.decisions.record(one)
        decision = await store.decisions.get("one", one.id)
        await store.correction.reset("one", "subject", None, assertion(), "test", NOW)
        assert decision
        assert not await store.learning.complete(
            decision, {"outcome": "succeeded", "second_factor": True, "at": NOW}, [lesson()], assertion()
        )
        assert await store.profiles.find("one", "subject") == []


class TestOutbox:
    async def test_due_is_oldest_first_and_bounded(self, store: Store) -> None:
        many = [item(created=NOW - number) for number in range(5)]
        await store.outbox.add(many)
        assert [each.id for each in await store.outbox.due(NOW, 3)] == [each.id for each in many[:1:-1]]
        assert await store.outbox.due(NOW - 10, 10) == []

    async def test_what_was_delivered_is_not_due_again(self, store: Store) -> None:
        one = item()
        await store.outbox.add([one])
        await store.outbox.settle(one.id, delivered_at=NOW, error=None, again_at=None)
        assert await store.outbox.due(NOW * 2, 10) == []

    async def test_how_long_a_session_lived_on_is_kept(self, store: Store) -> None:
        ended = item(body={"decision": fresh("ended"), "scope": "all"})
        waiting = item(body={"decision": fresh("waiting"), "scope": "disable"})
        await store.outbox.add([ended, waiting])
        await store.outbox.settle(ended.id, delivered_at=NOW + 2.5, error=None, again_at=None)
        assert await store.outbox.fates(["one"], [ended.body["decision"], waiting.body["decision"]]) == {
            ended.body["decision"]: SessionEnd("delivered", "all", 2.5),
            waiting.body["decision"]: SessionEnd("waiting", "disable"),
        }

    async def test_a_failure_waits_and_counts(self, store: Store) -> None:
        one = item()
        await store.outbox.add([one])
        await store.outbox.settle(one.id, delivered_at=None, error="answered 500", again_at=NOW + 4)
        assert await store.outbox.due(NOW + 3, 10) == []
        (again,) = await store.outbox.due(NOW + 4, 10)
        assert (again.id, again.attempts, again.body, again.created) == (one.id, 1, one.body, one.created)
        await store.outbox.settle(one.id, delivered_at=None, error="gone", again_at=None)
        assert await store.outbox.due(NOW * 2, 10) == []

    async def test_the_same_item_is_never_queued_twice(self, store: Store) -> None:
        one = item()
        await store.outbox.add([one])
        with pytest.raises(Exception, match=r"."):
            await store.outbox.add([item(), one])
        assert len(await store.outbox.due(NOW, 10)) == 1
