"""The evidence log on every store: what was learned can be made again, taken back, and lives only as long as it may."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.stores import NOW, Store, assertion, completed, key, lesson, models, probe, record

from sidecar.domain.biometrics import Template
from sidecar.domain.consent import Consent, ConsentState
from sidecar.domain.decisions import Evidence
from sidecar.errors import BadRequest
from sidecar.ports import Lesson, Profile
from sidecar.scoring import DETECTORS
from sidecar.storage import evidence
from sidecar.storage.arrays import pack_template
from sidecar.storage.profiles import COMPARED_LOGINS

pytestmark = pytest.mark.anyio
DAY = 86_400.0
PASSWORD = "password (keyboard)"
DETECTOR = DETECTORS["nearest-recent-1"]


async def learn(store: Store, lessons: Sequence[Lesson]) -> None:
    await store.learning.import_samples(lessons, "origin")


async def serving(store: Store, subject: str = "subject") -> Profile:
    (found,) = [profile for profile in await store.profiles.find("one", subject) if profile.serving]
    return found


def days(count: int, *, first: int = 0, person: int = 1) -> list[Lesson]:
    """One lesson a day, from ``NOW`` on."""
    return [
        lesson(at=NOW + (first + day) * DAY, probe=probe(person * 1000 + first + day, person=person))
        for day in range(count)
    ]


def distance(template: Template, login: int = 77, person: int = 1) -> float:
    return DETECTOR.distance(replace(template, detector=DETECTOR.name), probe(login, person=person).values)


class TestRebuilding:
    async def test_enr6_a_template_is_what_its_samples_make_bit_for_bit(self, store: Store) -> None:
        await learn(store, days(40))
        before = await serving(store)
        assert await store.correction.rebuild("one", "subject", "test", NOW) == {PASSWORD: True}
        after = await serving(store)
        assert pack_template(after.template) == pack_template(before.template)
        assert after == replace(before, template=after.template)

    async def test_a_damaged_template_is_made_anew_and_that_is_told(self, store: Store) -> None:
        await learn(store, days(15))
        before = await serving(store)
        store.database.write_now(lambda connection: connection.execute("UPDATE templates SET sealed = ?", (b"x" * 99,)))
        assert await store.correction.rebuild("one", "subject", "test", NOW) == {PASSWORD: False}
        assert pack_template((await serving(store)).template) == pack_template(before.template)
        assert await store.correction.rebuild("one", "subject", "test", NOW) == {PASSWORD: True}

    async def test_past_the_logs_length_it_still_is(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        shorten(monkeypatch, window=20, kept=30)
        await learn(store, days(47))
        assert (await serving(store)).samples == 20
        assert len(await store.profiles.samples(key())) == 30
        assert await store.correction.rebuild("one", "subject", "test", NOW) == {PASSWORD: True}


class TestConfirming:
    async def test_an_administrator_vouches_for_what_a_password_stood_for(self, store: Store) -> None:
        weak = [replace(one, evidence=Evidence.PASSWORD_ONLY, confirmed=False) for one in days(12)]
        await learn(store, weak)
        assert not (await serving(store)).confirmed
        assert await store.correction.confirm("one", "subject", "test", NOW) == 12
        assert (await serving(store)).confirmed
        assert dict(await store.learning.taught_since("one", "subject", 0)) == {
            ("password", Evidence.ADMINISTRATOR): 12
        }
        await learn(store, days(1, first=20))
        assert (await serving(store)).confirmed
        assert await store.correction.confirm("one", "subject", "test", NOW) == 0
        assert await store.correction.confirm("two", "subject", "test", NOW) == 0


class TestUnlearning:
    async def test_enr7_the_template_is_the_one_of_that_moment(self, store: Store) -> None:
        await learn(store, days(20))
        snapshot = await serving(store)
        await learn(store, days(8, first=30, person=2))
        assert distance((await serving(store)).template, person=2) < distance(snapshot.template, person=2)
        done = await store.correction.unlearn("one", "subject", NOW + 25 * DAY, NOW + 60 * DAY, "test")
        assert done == {PASSWORD: "exact"}
        after = await serving(store)
        assert pack_template(after.template) == pack_template(snapshot.template)
        assert distance(after.template) == distance(snapshot.template)
        assert (after.samples, after.confirmed, after.last_at) == (20, True, snapshot.last_at)
        assert await store.correction.rebuild("one", "subject", "test", NOW) == {PASSWORD: True}

    async def test_enr7_what_was_taken_back_does_not_come_back_with_the_next_lesson(self, store: Store) -> None:
        await learn(store, days(12))
        await learn(store, days(5, first=20, person=2))
        await store.correction.unlearn("one", "subject", NOW + 15 * DAY, NOW + 60 * DAY, "test")
        await learn(store, days(1, first=40))
        assert (await serving(store)).samples == 13
        assert len(await store.profiles.samples(key())) == 13

    async def test_enr7_within_the_horizon_of_the_log_it_is_exact(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shorten(monkeypatch, window=20, kept=30)
        await learn(store, days(40))
        snapshot = await serving(store)
        await learn(store, days(10, first=50, person=2))  # as many as the log holds beyond the window
        assert (await store.correction.unlearn("one", "subject", NOW + 45 * DAY, NOW + 70 * DAY, "test")) == {
            PASSWORD: "exact"
        }
        assert pack_template((await serving(store)).template) == pack_template(snapshot.template)

    async def test_enr7_past_the_horizon_the_newest_checkpoint_before_it_serves(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shorten(monkeypatch, window=20, kept=30, checkpoint=10)
        await learn(store, days(30))
        snapshot = await serving(store)
        await learn(store, days(29, first=40, person=2))
        assert (await store.correction.unlearn("one", "subject", NOW + 35 * DAY, NOW + 90 * DAY, "test")) == {
            PASSWORD: "checkpoint"
        }
        assert pack_template((await serving(store)).template) == pack_template(snapshot.template)
        assert await store.correction.rebuild("one", "subject", "test", NOW) == {PASSWORD: True}
        await learn(store, days(1, first=91))
        assert pack_template((await serving(store)).template) == pack_template(snapshot.template)  # too few to follow
        await learn(store, days(10, first=92))
        assert (await serving(store)).samples == 12  # one of before is left in the log

    async def test_enr7_nothing_from_before_leaves_nothing(self, store: Store) -> None:
        await learn(store, days(12))
        assert await store.correction.unlearn("one", "subject", NOW - 1, NOW + DAY, "test") == {PASSWORD: "nothing"}
        assert await store.profiles.find("one", "subject") == []

    async def test_enr7_habits_of_how_the_password_gets_there_begin_anew(self, store: Store) -> None:
        one = record()
        await store.decisions.record(one)
        await completed(store, one, lessons=[lesson()])
        assert len(await store.profiles.usual("one", "subject")) == 1
        await store.correction.unlearn("one", "subject", NOW + DAY, NOW + DAY, "test")
        assert await store.profiles.usual("one", "subject") == []

    async def test_enr7_only_this_person(self, store: Store) -> None:
        await learn(store, days(3))
        await learn(store, [lesson(key=key(subject="other")), lesson(key=key(tenant="two"))])
        await store.correction.unlearn("one", "subject", 0, NOW + DAY, "test")
        assert len(await store.profiles.find("one", "other")) == 1
        assert len(await store.profiles.find("two", "subject")) == 1


class TestModelUpgrade:
    async def test_enr10_the_old_model_serves_until_the_new_one_was_watched(self, store: Store) -> None:
        await learn(store, days(20))
        upgraded = store.of_model("coming")
        for number in range(COMPARED_LOGINS):
            await upgraded.import_samples([lesson(at=NOW + (30 + number) * DAY, fits=number > 0 or None)], "origin")
            found = {profile.template.detector: profile for profile in await upgraded.find("one", "subject")}
            assert found["nearest-recent-1"].serving
            assert not found["coming"].serving
            assert found["nearest-recent-1"].samples == found["coming"].samples == 21 + number
            assert (found["coming"].compared, found["coming"].fitted) == (number, number)
        await upgraded.import_samples([lesson(at=NOW + 50 * DAY, fits=True)], "origin")
        (only,) = await upgraded.find("one", "subject")
        assert (only.template.detector, only.serving) == ("coming", True)

    async def test_enr10_one_that_would_ask_for_more_does_not_take_over(self, store: Store) -> None:
        await learn(store, days(20))
        upgraded = store.of_model("coming")
        for number in range(12):
            fits = number % 2 == 0
            await upgraded.import_samples([lesson(at=NOW + (30 + number) * DAY, fits=fits)], "origin")
        (served,) = [profile for profile in await upgraded.find("one", "subject") if profile.serving]
        assert served.template.detector == "nearest-recent-1"

    async def test_enr10_going_back_forgets_the_shadow(self, store: Store) -> None:
        await learn(store, days(20))
        await store.of_model("coming").import_samples([lesson(at=NOW + 30 * DAY)], "origin")
        await learn(store, days(1, first=31))
        (only,) = await store.profiles.find("one", "subject")
        assert (only.template.detector, only.serving, only.samples) == ("nearest-recent-1", True, 22)


class TestDrift:
    def test_enr6_one_session_brings_a_stranger_nearer_by_a_fifth_at_most(self) -> None:
        """The distance is the mean over the five nearest samples: one more sample replaces one of them."""
        rng = np.random.default_rng(3)
        for _ in range(40):
            victim, stranger = int(rng.integers(1, 500)), int(rng.integers(500, 1000))
            own = [lesson(at=NOW + n, probe=probe(n, person=victim)) for n in range(int(rng.integers(10, 60)))]
            kept = [evidence.Kept(n, one.probe, one.at, True) for n, one in enumerate(own)]
            before = evidence.derive(models(), "nearest-recent-1", kept)
            attack = evidence.Kept(len(kept), probe(1, person=stranger), NOW + 999, True)
            after = evidence.derive(models(), "nearest-recent-1", [*kept, attack])
            assert before
            assert after
            near, far = distance(after.template, 2, stranger), distance(before.template, 2, stranger)
            assert near >= 0.75 * far, (victim, stranger, far, near)


class TestRetention:
    async def test_prv3_each_class_goes_in_its_own_time(self, store: Store) -> None:
        rules = store.retention._rules
        one = record(at=NOW)
        await store.decisions.record(one)
        await completed(store, one, lessons=[lesson(at=NOW)])
        for item in one.outbox:
            await store.outbox.settle(item.id, delivered_at=NOW, error=None, again_at=None)
        ends = {
            "outbox": rules.effects_days,
            "decisions": rules.decisions_days,
            "probe_digests": rules.digests_days,
            "samples": rules.samples_days,
            "templates": rules.profile_days,
        }
        for table, last in sorted(ends.items(), key=lambda item: item[1]):
            await store.retention.retire(NOW + last * DAY - 1)
            assert store.everything()[table], f"{table} is gone too early"
        await store.retention.retire(NOW + max(ends.values()) * DAY + 1)
        left = {name for name, rows in store.everything().items() if rows}
        assert left == {"audit", "audit_heads", "schema_version", "assertions", "idempotency", "uses"}
        await store.retention.purge(NOW + DAY + 1)
        assert {name for name, rows in store.everything().items() if rows} == {"audit", "audit_heads", "schema_version"}

    async def test_prv3_a_template_follows_its_samples_and_outlives_the_last_of_them_as_a_copy(
        self, store: Store
    ) -> None:
        await learn(store, days(30))
        cutoff = NOW + 15 * DAY - 1
        await store.retention.retire(cutoff + 400 * DAY)
        assert ((await serving(store)).samples, len(await store.profiles.samples(key()))) == (15, 15)
        assert await store.correction.rebuild("one", "subject", "test", NOW) == {PASSWORD: True}
        before = await serving(store)
        await store.retention.retire(cutoff + 410 * DAY)
        after = await serving(store)
        assert len(await store.profiles.samples(key())) == 5
        assert pack_template(after.template) == pack_template(before.template)
        assert await store.correction.rebuild("one", "subject", "test", NOW) == {PASSWORD: True}
        await store.retention.retire(NOW + 29 * DAY + 400 * DAY + 1)
        assert await store.profiles.find("one", "subject") == []
        assert store.everything()["samples"] == []
        assert store.everything()["checkpoints"] == []

    async def test_prv3_more_people_than_one_transaction_takes(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sidecar.storage.retention.PROFILES_AT_ONCE", 2)
        await learn(store, [lesson(key=key(subject=f"p{number}")) for number in range(7)])
        await store.retention.retire(NOW + 400 * DAY + 1)
        assert store.everything()["samples"] == []

    async def test_prv3_taken_back_samples_stay_for_the_inquiry_and_no_longer(self, store: Store) -> None:
        await learn(store, days(12))
        moment = NOW + 20 * DAY
        await store.correction.unlearn("one", "subject", NOW + 10 * DAY, moment, "test")
        await store.retention.retire(moment + 90 * DAY - 1)
        assert len(store.everything()["samples"]) == 12
        await store.retention.retire(moment + 90 * DAY + 1)
        assert len(store.everything()["samples"]) == 10


class TestSubjects:
    async def test_prv1_where_a_person_stands_is_kept_by_tenant(self, store: Store) -> None:
        given = Consent(ConsentState.GIVEN, "2026-11", NOW, True, "study", None)
        await store.subjects.stand("one", "subject", given, assertion(), "idp", NOW)
        assert await store.subjects.consent("one", "subject") == given
        assert await store.subjects.consent("two", "subject") == Consent()
        paused = replace(given, paused_at=NOW + 5)
        await store.subjects.stand("one", "subject", paused, None, "idp", NOW)
        assert (await store.profiles.remembered("one", "subject", NOW)).consent == paused

    @pytest.mark.parametrize("state", [ConsentState.WITHDRAWN, ConsentState.REFUSED])
    async def test_prv1_who_says_no_leaves_nothing_measured(self, store: Store, state: ConsentState) -> None:
        one = record(events=("study", b"[]"))
        await store.decisions.record(one)
        await learn(store, [*days(60), lesson(key=key(subject="other"))])
        assert all(len(store.everything()[name]) for name in ("samples", "templates", "checkpoints", "recorded"))
        await store.subjects.stand("one", "subject", Consent(state, at=NOW), None, "idp", NOW)
        for name in ("samples", "templates", "checkpoints", "waiting_probes", "recorded"):
            assert "'subject'" not in repr(store.everything()[name]), name
        assert len(await store.profiles.find("one", "other")) == 1
        assert await store.decisions.get("one", one.id)

    async def test_prv1_a_second_factor_confirms_consent(self, store: Store) -> None:
        unconfirmed = Consent(ConsentState.GIVEN, "v", NOW, confirmed=False)
        one = record(consent=unconfirmed)
        await store.decisions.record(one)
        assert await store.subjects.consent("one", "subject") == unconfirmed
        await completed(store, one)
        assert (await store.subjects.consent("one", "subject")).confirmed


class TestRecordings:
    async def test_prv4_they_end_by_themselves_and_hold_only_their_people(self, store: Store) -> None:
        await store.recordings.begin("one", "study", "a study", NOW, NOW + 7 * DAY, "test")
        assert (await store.profiles.remembered("one", "subject", NOW)).recordings == ("study",)
        assert (await store.profiles.remembered("one", "subject", NOW + 7 * DAY)).recordings == ()
        assert (await store.profiles.remembered("two", "subject", NOW)).recordings == ()
        await store.decisions.record(record(events=("study", b'[{"k": 1}]')))
        assert await store.recordings.of_subject("one", "subject") == [("study", NOW, [{"k": 1}])]
        assert await store.recordings.of_subject("one", "other") == []
        assert [row["logins"] for row in await store.recordings.known("one")] == [1]
        assert await store.recordings.end("one", "study", NOW + 60, "test")
        assert not await store.recordings.end("one", "study", NOW + 61, "test")
        assert (await store.profiles.remembered("one", "subject", NOW + 61)).recordings == ()
        await store.retention.retire(NOW + 31 * DAY)
        assert store.everything()["recorded"] == []

    async def test_prv4_one_that_never_ends_is_refused(self, store: Store) -> None:
        for ends in (NOW + 91 * DAY, NOW, NOW - 1):
            with pytest.raises(BadRequest):
                await store.recordings.begin("one", "study", "a study", NOW, ends, "test")


def shorten(monkeypatch: pytest.MonkeyPatch, *, window: int, kept: int, checkpoint: int = 50) -> None:
    """A shorter log, so that few lessons reach its end."""
    monkeypatch.setattr("sidecar.storage.evidence.WINDOW", window)
    monkeypatch.setattr("sidecar.storage.correction.WINDOW", window)
    monkeypatch.setattr("sidecar.storage.profiles.KEPT_SAMPLES", kept)
    monkeypatch.setattr("sidecar.storage.profiles.CHECKPOINT_EVERY", checkpoint)
