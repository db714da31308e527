"""Consent and pause over HTTP: checked before anything is looked at, and never a locked door (PRV1)."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.world import Caller, Page, World, carried, rows_of

from sidecar.config import ClientSettings
from sidecar.shipped import policy_directory

pytestmark = pytest.mark.anyio
OWNER, STRANGER = 7, 18
GIVEN = {"given": True, "version": "2026-11"}
REFUSED = {"given": False, "version": "2026-11"}
MEASURED = ("waiting_probes", "samples", "templates", "checkpoints", "recorded", "probe_digests", "waiting_batches")


@pytest.fixture
async def asked(worlds: Any) -> World:
    """A world whose tenants rest on consent."""
    world: World = await worlds(idp={"legal_basis": "consent"})
    return world


async def call(caller: Caller, act: str, sub: str, **extra: Any) -> Any:
    return await caller.post(f"/v1/subjects/{act}", {"subject": {"id": sub}, **extra})


async def facts(world: World) -> dict[str, Any]:
    return dict((await world.last_body())["facts"])


def nothing_measured(world: World) -> None:
    assert {table: rows for table, rows in world.counts().items() if table in MEASURED and rows} == {}


async def enrolled(world: World, sub: str) -> None:
    """A person with consent and a ready profile (enrolling records consent as given)."""
    await world.enroll(sub, OWNER)
    assert (await world.idp.evaluate(sub, carried(OWNER, 1)))["decision"] is True


class TestUnknown:
    async def test_prv1_nothing_is_looked_at_and_nothing_is_kept(self, asked: World) -> None:
        page = await asked.page()
        hidden = await page.typed(rows_of(OWNER, 1))
        assert asked.counts()["waiting_batches"] == 1
        answer = await asked.idp.evaluate("ann", hidden, attempt=page.attempt)
        assert (answer["action"], answer["source"]) == ("step_up", "scored")
        seen = await facts(asked)
        assert (seen["keystroke.cause"], seen["consent.state"]) == ("no_consent", "unknown")
        assert {seen[name] for name in ("keystroke.llr", "provenance.password", "provenance.username")} == {
            None,
            "unknown",
        }
        nothing_measured(asked)
        assert (await page.send(page.batch(rows_of(OWNER, 2)))).json()["error"] == "capture_used"
        assert (await asked.idp.complete(answer["decision_id"], second_factor=True)).json() == {"closed": True}
        nothing_measured(asked)

    async def test_prv1_what_the_form_carried_is_dropped_too(self, asked: World) -> None:
        answer = await asked.idp.evaluate("ann", carried(OWNER, 1))
        assert (await facts(asked))["keystroke.cause"] == "no_consent"
        await asked.idp.complete(answer["decision_id"], second_factor=True)
        nothing_measured(asked)
        assert asked.counts()["decisions"] == 1

    @pytest.mark.parametrize("sent", [None, "not a capture"])
    async def test_prv1_nothing_usable_was_sent_and_the_cause_is_still_consent(self, asked: World, sent: Any) -> None:
        """A provider that knows of the refusal does not load the widget; operators must read the true reason."""
        await asked.idp.evaluate("ann", sent, consent=REFUSED)
        assert (await facts(asked))["keystroke.cause"] == "no_consent"

    async def test_prv1_many_logins_later_there_is_still_nothing(self, asked: World) -> None:
        for number in range(12):
            await asked.idp.login("ann", carried(OWNER, number), second_factor=True)
        nothing_measured(asked)
        assert await asked.idp.profiles("ann") == {}


class TestGiven:
    async def test_prv1_given_with_a_login_and_confirmed_by_its_second_factor_it_teaches(self, asked: World) -> None:
        await asked.idp.login("ann", carried(OWNER, 1), second_factor=True, consent=GIVEN)
        assert (await asked.idp.profiles("ann"))["password"]["samples"] == 1

    async def test_prv1_unconfirmed_consent_teaches_nothing_until_a_second_factor(self, worlds: Any) -> None:
        lenient = {"app": ClientSettings(password_suffices=True)}
        world: World = await worlds(idp={"legal_basis": "consent", "clients": lenient})
        await world.idp.login("ann", carried(OWNER, 1), second_factor=False, consent=GIVEN)
        await world.idp.login("ann", carried(OWNER, 2), second_factor=False, consent=GIVEN)
        assert await world.idp.profiles("ann") == {}
        await world.idp.login("ann", carried(OWNER, 3), second_factor=True, consent=GIVEN)
        await world.idp.login("ann", carried(OWNER, 4), second_factor=False, consent=GIVEN)
        assert (await world.idp.profiles("ann"))["password"]["samples"] == 2

    async def test_prv1_another_text_must_be_confirmed_anew(self, asked: World) -> None:
        await enrolled(asked, "ann")
        await asked.idp.login(
            "ann", carried(OWNER, 2), second_factor=False, consent={"given": True, "version": "2027-01"}
        )
        assert (await asked.idp.profiles("ann"))["password"]["samples"] == 15
        shown = (await call(asked.idp, "show", "ann")).json()["consent"]
        assert (shown["state"], shown["text_version"], shown["confirmed_by_second_factor"]) == (
            "given",
            "2027-01",
            False,
        )

    async def test_prv1_told_by_a_call_with_its_second_factor(self, asked: World) -> None:
        answer = await call(asked.idp, "consent", "ann", given=True, version="2026-11", second_factor=True)
        assert answer.json() == {"consent": "given", "confirmed": True}
        await asked.idp.login("ann", carried(OWNER, 1), second_factor=True)
        assert (await asked.idp.profiles("ann"))["password"]["samples"] == 1

    async def test_prv1_an_older_answer_is_no_news(self, asked: World) -> None:
        """A provider that still sends its old yes must not undo what was taken back through somebody else."""
        now = asked.clock()
        await call(asked.idp, "consent", "ann", given=True, version="v", second_factor=True, answered_at=now - 60)
        await call(asked.idp, "consent", "ann", given=False)
        await asked.idp.evaluate("ann", carried(OWNER, 1), consent={**GIVEN, "answered_at": now - 60})
        assert (await facts(asked))["consent.state"] == "withdrawn"
        asked.clock.forward(60)
        await asked.idp.evaluate("ann", carried(OWNER, 2), consent={**GIVEN, "answered_at": asked.clock()})
        assert (await facts(asked))["consent.state"] == "given"

    async def test_prv4_a_login_that_says_nothing_of_recordings_leaves_them(self, asked: World) -> None:
        await call(asked.idp, "consent", "ann", given=True, version="2026-11", recording="study", second_factor=True)
        await asked.idp.evaluate("ann", carried(OWNER, 1), consent=GIVEN)
        assert (await call(asked.idp, "show", "ann")).json()["consent"]["recording"] == "study"
        await asked.idp.evaluate("ann", carried(OWNER, 2), consent=GIVEN | {"recording": ""})
        assert (await call(asked.idp, "show", "ann")).json()["consent"]["recording"] is None


class TestRefused:
    async def test_prv1_the_ordinary_second_factor_and_nothing_else(self, asked: World) -> None:
        answer = await asked.idp.evaluate("ann", carried(OWNER, 1), consent=REFUSED)
        assert (answer["action"], answer["effects"]) == ("step_up", [])
        assert (await facts(asked))["consent.state"] == "refused"
        nothing_measured(asked)

    async def test_prv1_after_having_agreed_it_is_a_withdrawal_and_erases(self, asked: World) -> None:
        await enrolled(asked, "ann")
        await asked.enroll("ben", OWNER)
        await asked.idp.evaluate("ann", carried(OWNER, 2), consent=REFUSED)
        assert (await facts(asked))["consent.state"] == "withdrawn"
        assert await asked.idp.profiles("ann") == {}
        assert {row[1] for table in ("samples", "templates") for row in asked.rows(table)} & {
            asked.pseudonym("ann")
        } == set()
        assert (await asked.idp.evaluate("ben", carried(OWNER, 3)))["decision"] is True

    @pytest.mark.parametrize("configured", ["allow", "deny"])
    async def test_prv1_who_has_no_second_factor_is_let_in_whatever_is_configured(
        self, worlds: Any, configured: Any
    ) -> None:
        clients = {"app": ClientSettings(without_second_factor=configured)}
        world: World = await worlds(idp={"legal_basis": "consent", "clients": clients})
        for consent in (None, REFUSED):
            answer = await world.idp.evaluate("ann", carried(OWNER, 1), consent=consent, second_factor=False)
            assert answer["action"] == "allow"
        assert (await world.idp.evaluate("ann", carried(OWNER, 2), consent=REFUSED, second_factor=True))[
            "action"
        ] == "step_up"

    async def test_prv1_refusing_is_no_way_around_a_rule(self, worlds: Any, tmp_path: Path) -> None:
        """What a rule of the policy asks of everybody is asked of those without consent and second factor, too."""
        text = (policy_directory() / "default.yaml").read_text()
        rule = "rules:\n  - id: closed\n    when: {all: ['client.id == \"app\"']}\n    then: step_up\n"
        (tmp_path / "closed.yaml").write_text(text.replace("rules:\n", rule, 1))
        clients = {"app": ClientSettings(without_second_factor="deny")}
        idp = {"legal_basis": "consent", "clients": clients}
        world: World = await worlds(policy=tmp_path / "closed.yaml", idp=idp)
        answer = await world.idp.evaluate("ann", None, consent=REFUSED, second_factor=False)
        assert answer["action"] == "deny"

    @pytest.mark.parametrize("configured", ["allow", "deny"])
    async def test_without_a_second_factor_a_mismatch_leads_to_what_is_configured(
        self, worlds: Any, configured: Any
    ) -> None:
        world: World = await worlds(idp={"clients": {"app": ClientSettings(without_second_factor=configured)}})
        await world.enroll("ann", OWNER)
        answer = await world.idp.evaluate("ann", carried(STRANGER, 1), second_factor=False)
        assert answer["action"] == configured
        assert (await world.idp.evaluate("ann", carried(STRANGER, 2)))["action"] == "step_up"


class TestOtherBasis:
    async def test_prv1_people_are_scored_unless_they_object(self, world: World) -> None:
        await world.idp.login("ann", carried(OWNER, 1), second_factor=True)
        assert (await facts(world))["consent.state"] == "other_basis"
        assert (await world.idp.profiles("ann"))["password"]["samples"] == 1
        await call(world.idp, "consent", "ann", given=False)
        await world.idp.evaluate("ann", carried(OWNER, 2))
        assert (await facts(world))["keystroke.cause"] == "no_consent"
        assert await world.idp.profiles("ann") == {}


class TestPaused:
    async def test_prv1_nothing_is_scored_or_learned_and_nothing_is_lost(self, asked: World) -> None:
        await enrolled(asked, "ann")
        assert (await call(asked.idp, "pause", "ann")).json() == {"paused": True}
        for person in (OWNER, STRANGER):
            answer = await asked.idp.login("ann", carried(person, 2), second_factor=True)
            assert answer["action"] == "step_up"
            assert (await facts(asked))["keystroke.cause"] == "paused"
        assert (await call(asked.idp, "resume", "ann")).json() == {"paused": False}
        assert (await asked.idp.profiles("ann"))["password"]["samples"] == 15
        assert (await asked.idp.evaluate("ann", carried(OWNER, 3)))["decision"] is True
        assert (await asked.idp.evaluate("ann", carried(STRANGER, 3)))["action"] == "step_up"

    async def test_prv1_between_decision_and_completion_it_holds_at_once(self, asked: World) -> None:
        await enrolled(asked, "ann")
        answer = await asked.idp.evaluate("ann", carried(OWNER, 2))
        await call(asked.idp, "pause", "ann")
        await asked.idp.complete(answer["decision_id"], second_factor=True)
        assert (await asked.idp.profiles("ann"))["password"]["samples"] == 15


class TestGlobalPrivacyControl:
    async def test_prv1_it_is_a_signal_by_the_widgets_request(self, world: World) -> None:
        page = Page(world.http, world.idp.origin, world.idp.attempt())
        body = json.dumps({"site": world.idp.site, "attempt": page.attempt})
        headers = {"Content-Type": "text/plain", "Origin": page.origin, "Sec-GPC": "1"}
        opened = (await world.http.post("/v1/captures", content=body, headers=headers)).json()
        page.capture, page.token = opened["capture"], opened["token"]
        await world.idp.evaluate("ann", await page.typed(rows_of(OWNER, 1)), attempt=page.attempt)
        assert (await facts(world))["consent.gpc"] is True

    async def test_prv1_or_by_the_providers_word(self, world: World) -> None:
        await world.idp.evaluate("ann", carried(OWNER, 1), gpc=True)
        assert (await facts(world))["consent.gpc"] is True
        await world.idp.evaluate("ann", carried(OWNER, 2))
        assert (await facts(world))["consent.gpc"] is False


class TestRecording:
    async def test_prv4_only_who_agreed_by_name_and_only_while_it_runs(self, asked: World) -> None:
        now = asked.clock()
        await asked.inside.recordings.begin("one", "study", "a study", now, now + 3600, "test")
        for name, recording in (("ann", "study"), ("ben", None), ("cyd", "another")):
            await call(asked.idp, "consent", name, given=True, version="v", recording=recording, second_factor=True)
            await asked.idp.evaluate(name, carried(OWNER, 1))
        assert [row[2] for row in asked.rows("recorded")] == [asked.pseudonym("ann")]
        (kept,) = (await call(asked.idp, "export", "ann")).json()["recordings"]
        assert kept["recording"] == "study"
        assert kept["events"][0]["k"]["d"]
        asked.clock.forward(3601)
        await asked.idp.evaluate("ann", carried(OWNER, 2))
        assert len(asked.rows("recorded")) == 1


class TestRights:
    async def test_prv2_export_holds_everything_and_can_be_read(self, asked: World) -> None:
        await enrolled(asked, "ann")
        document = (await call(asked.idp, "export", "ann")).json()
        assert document["format"] == "gaitkeeper-subject-2"
        assert document["consent"]["state"] == "given"
        assert len(document["samples"]) == 15
        assert document["decisions"][0]["signals"]["keystroke.outcome"] == "match"

    async def test_prv2_forgetting_destroys_the_key_and_every_row(self, asked: World) -> None:
        await enrolled(asked, "ann")
        assert (await call(asked.idp, "forget", "ann")).json() == {"forgotten": True}
        assert asked.pseudonym("ann") not in repr(asked.dump())
        assert (await call(asked.idp, "show", "ann")).status_code == 404
        await asked.idp.evaluate("ann", carried(OWNER, 2))
        assert (await facts(asked))["consent.state"] == "unknown"

    async def test_sec1_each_call_needs_a_fresh_assertion(self, asked: World) -> None:
        await enrolled(asked, "ann")
        for act in ("show", "export", "pause", "resume", "consent", "forget"):
            path = f"/v1/subjects/{act}"
            body = json.dumps({"subject": {"id": "ann"}} | ({"given": True} if act == "consent" else {})).encode()
            token = asked.idp.token(path, body)
            assert (await asked.idp.post(path, body, token=token)).status_code == 200
            assert (await asked.idp.post(path, body, token=token)).json()["error"] == "token_replayed", act
            assert (await asked.http.post(path, content=body)).status_code in (401, 415)

    @pytest.mark.parametrize(
        "body", [{}, {"subject": {}}, {"subject": {"id": ""}}, {"subject": {"id": "a"}, "x": 1}, []]
    )
    async def test_bad_bodies_are_refused_and_change_nothing(self, asked: World, body: Any) -> None:
        await enrolled(asked, "ann")
        before = asked.dump("assertions")
        for act in ("show", "export", "pause", "resume", "consent", "forget"):
            assert (await asked.idp.post(f"/v1/subjects/{act}", body)).status_code == 400
        assert asked.dump("assertions") == before

    async def test_an_unknown_call_is_404(self, asked: World) -> None:
        assert (await call(asked.idp, "improve", "ann")).status_code == 404
