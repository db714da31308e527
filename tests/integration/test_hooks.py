"""What identity providers call: who may, what the answers look like, what a completed login teaches and what it does not."""

import asyncio
import base64
import json
from typing import Any

import pytest
from support.world import TABLES, World, carried, rows_of, state

from sidecar.rehearsal.payload import hidden_field
from sidecar.tokens import new_signing_key, sign_request

pytestmark = pytest.mark.anyio
OWNER, STRANGER = 7, 18
EVALUATION = "/access/v1/evaluation"
logins = iter(range(10**6))


def typed(person: int = OWNER) -> str:
    """A repetition of this person's that nobody saw before."""
    return carried(person, 5000 + next(logins))


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


PROFILE_TABLES = ("samples", "templates", "provenance")


def profile_of(world: World) -> dict[str, list[Any]]:
    return {table: world.rows(table) for table in PROFILE_TABLES}


MALFORMED: list[Any] = [
    {"subject": None},
    {"subject": {"type": "user"}},
    {"subject": {"id": ""}},
    {"subject": {"id": "x" * 256}},
    {"subject": {"id": 7}},
    {"action": {"name": "dance"}},
    {"action": "login"},
    {"resource": {}},
    {"context": []},
    {"context": {"attempt": "short"}},
    {"context": {"attempt": 12345678}},
    {"context": {"capture": ["a"] * 5}},
    {"context": {"capture": {"v": 1}}},
    {"context": {"capture": "x" * 70_000}},
    {"context": {"attempt_started_at": -1}},
    {"context": {"attempt_started_at": "now"}},
    {"context": {"ip": "1" * 65}},
]


class TestShape:
    async def test_sec5_an_allow_is_a_plain_true(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        response = await world.idp.post(EVALUATION, world.idp.request("ann", typed()))
        answer = response.json()
        assert response.headers["cache-control"] == "no-store"
        assert set(answer) == {"decision", "context"}
        assert answer["decision"] is True
        assert answer["context"]["action"] == "allow"
        assert answer["context"]["trust"] is False
        assert answer["context"]["source"] == "scored"
        assert {"acr_values", "factor", "reason_user", "amr_values"}.isdisjoint(answer["context"])

    async def test_a_step_up_is_a_false_that_says_how_to_make_it_true(self, world: World) -> None:
        answer = (await world.idp.post(EVALUATION, world.idp.request("ann", typed()))).json()
        assert answer["decision"] is False
        assert answer["context"]["action"] == "step_up"
        assert answer["context"]["factor"] == "second_factor"
        assert answer["context"]["reason_user"]["en"]
        assert answer["context"]["decision_id"]

    async def test_pol5_a_deny_names_no_way_out(self, worlds: Any, tmp_path: Any) -> None:
        text = (await denying(tmp_path)).read_text()
        assert "behavior_may_deny: true" in text
        world: World = await worlds(policy=tmp_path / "deny.yaml")
        await world.enroll("ann", OWNER)
        answer = (await world.idp.post(EVALUATION, world.idp.request("ann", typed(STRANGER)))).json()
        assert answer["decision"] is False
        assert answer["context"]["action"] == "deny"
        assert {"acr_values", "factor"}.isdisjoint(answer["context"])
        assert answer["context"]["effects"] == ["revoke_all", "notify"]

    async def test_the_request_id_is_echoed_and_cannot_forge_a_header(self, world: World) -> None:
        for given, echoed in [("abc-1", "abc-1"), ("a b", None), ("x" * 129, None), ("a:b.c_d", "a:b.c_d")]:
            response = await world.idp.post(EVALUATION, world.idp.request("ann"), headers={"X-Request-ID": given})
            assert response.headers.get("x-request-id") == echoed

    async def test_metadata_names_the_endpoint(self, world: World) -> None:
        found = (await world.http.get("/.well-known/authzen-configuration")).json()
        assert found["access_evaluation_endpoint"].endswith(EVALUATION)
        keys = (await world.http.get("/.well-known/jwks.json")).json()["keys"]
        assert [key["kid"] for key in keys] == [world.inside.keyring.signing.kid]
        assert "d" not in keys[0]

    async def test_what_is_not_of_the_form_is_refused_and_leaves_nothing(self, world: World) -> None:
        for change in MALFORMED:
            response = await world.idp.post(EVALUATION, world.idp.request("ann") | change)
            assert code(response) == (400, "bad_request"), change
        assert set(world.counts().values()) == {0}

    @pytest.mark.parametrize("path", [EVALUATION, "/v1/events", "/v1/profiles", "/v1/decisions/x/completion"])
    async def test_broken_bodies_that_are_signed(self, world: World, path: str) -> None:
        for body in [b"", b"{", b"[]", b"null", b"\xff", b'{"a":NaN}', b"[" * 50_000, b'"\\ud800"']:
            assert code(await world.idp.post(path, body)) == (400, "bad_request")

    async def test_odd_names_are_names(self, world: World) -> None:
        for sub in (
            "\u0000",
            "'; DROP TABLE decisions; --",
            "ann\n",
            "é",
            "e\u0301",
            "𝕬",
            " ",
            "|",
            "../..",
            "a" * 240,
        ):
            answer = await world.idp.evaluate(sub, typed())
            assert (await world.idp.complete(answer["decision_id"], second_factor=True)).status_code == 200
            assert (await world.idp.profiles(sub))["password"]["samples"] == 1


async def denying(base: Any) -> Any:
    from sidecar.shipped import policy_directory

    text = (policy_directory() / "default.yaml").read_text() + "\nbehavior_may_deny: true\n"
    then = "    then: step_up\n"
    assert then in text
    text = text.replace(then, "    then: {action: deny, effects: [revoke_all, notify]}\n", 1)
    path = base / "deny.yaml"
    path.write_text(text)
    return path


class TestCallers:
    """SEC1: nobody but a configured identity provider gets an answer, and each assertion works once."""

    PATHS = (EVALUATION, "/v1/enrollments", "/v1/events", "/v1/profiles", "/v1/decisions/x/completion")

    @pytest.mark.parametrize("path", PATHS)
    async def test_sec1_without_an_assertion(self, world: World, path: str) -> None:
        for authorization in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            "Basic YTpi",
            "bearer a.b.c",
            "Bearer " + "a" * 5000,
        ]:
            response = await world.idp.post(path, {}, headers={"Authorization": authorization})
            assert code(response) == (401, "token_invalid")
            assert response.headers["www-authenticate"] == "Bearer"
        assert set(world.counts().values()) == {0}

    @pytest.mark.parametrize("path", PATHS)
    async def test_sec1_a_body_that_was_changed(self, world: World, path: str) -> None:
        signed = json.dumps(world.idp.request("ann")).encode()
        token = world.idp.token(path, signed)
        for body in (signed.replace(b"ann", b"ben"), signed + b" ", b""):
            assert code(await world.idp.post(path, body, token=token)) == (401, "token_invalid")
        assert set(world.counts().values()) == {0}

    async def test_sec1_an_assertion_for_another_route_method_audience_or_time(self, world: World) -> None:
        body = json.dumps(world.idp.request("ann")).encode()
        for changed in (
            {"url": "http://localhost:8800/v1/events"},
            {"url": "http://other:8800" + EVALUATION},
            {"method": "GET"},
            {"audience": "http://other"},
            {"audience": "http://localhost:8800/"},
            {"issuer": "http://nobody"},
            {"issuer": world.other.issuer},
            {"now": world.clock() - 61},
            {"now": world.clock() + 120},
        ):
            response = await world.idp.post(EVALUATION, body, token=world.idp.token(EVALUATION, body, **changed))
            assert code(response) == (401, "token_invalid"), changed

    async def test_sec1_a_strangers_key_under_a_known_kid(self, world: World) -> None:
        body = json.dumps(world.idp.request("ann")).encode()
        stranger = new_signing_key()
        import dataclasses

        for key in (stranger, dataclasses.replace(stranger, kid=world.idp.key.kid)):
            token = sign_request(
                key,
                issuer=world.idp.issuer,
                audience="http://localhost:8800",
                method="POST",
                url="http://localhost:8800" + EVALUATION,
                body=body,
                now=world.clock(),
            )
            assert code(await world.idp.post(EVALUATION, body, token=token)) == (401, "token_invalid")

    async def test_sec1_deep_claims_are_a_401_not_a_500(self, world: World) -> None:
        """Anybody could make the verifier fail with a RecursionError: no key is needed for that token."""
        deep = base64.urlsafe_b64encode(b"[" * 2900).rstrip(b"=").decode()
        response = await world.idp.post(EVALUATION, {}, token=f"e30.{deep}.AA")
        assert code(response) == (401, "token_invalid")

    async def test_sec1_a_jti_works_once_on_every_route(self, world: World) -> None:
        answer = await world.idp.evaluate("ann", typed())
        bodies: dict[str, Any] = {
            EVALUATION: world.idp.request("ann"),
            "/v1/events": {"type": "logout", "subject": {"id": "ann"}},
            "/v1/profiles": {"subject": {"id": "ann"}},
            f"/v1/decisions/{answer['decision_id']}/completion": {"outcome": "abandoned"},
        }
        for path, payload in bodies.items():
            body = json.dumps(payload).encode()
            token = world.idp.token(path, body)
            assert (await world.idp.post(path, body, token=token)).is_success
            before = world.dump()
            assert code(await world.idp.post(path, body, token=token)) == (401, "token_replayed")
            assert world.dump() == before

    async def test_sec1_a_jti_at_once_on_many_requests_works_once(self, world: World) -> None:
        body = json.dumps(world.idp.request("ann", typed())).encode()
        token = world.idp.token(EVALUATION, body)
        responses = await asyncio.gather(*(world.idp.post(EVALUATION, body, token=token) for _ in range(8)))
        assert sorted(response.status_code for response in responses) == [200] + [401] * 7
        assert world.counts()["decisions"] == 1

    async def test_what_a_browser_could_send_across_origins_is_refused(self, world: World) -> None:
        for kind in ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"]:
            response = await world.idp.post(EVALUATION, world.idp.request("ann"), headers={"Content-Type": kind})
            assert code(response) == (415, "unsupported_media_type")


class TestIdempotency:
    async def test_the_same_request_gets_the_same_answer_and_one_row(self, world: World) -> None:
        body = json.dumps(world.idp.request("ann", typed())).encode()
        key = {"Idempotency-Key": "key-00001"}
        answers = [(await world.idp.post(EVALUATION, body, headers=key)).json() for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert world.counts()["decisions"] == 1
        assert world.counts()["outbox"] == 0

    async def test_the_same_request_at_once_gets_the_same_answer_and_one_row(self, world: World) -> None:
        """The second of two at once met the used capture before the idempotency key, and was refused with a conflict."""
        for capture in (None, "carried", "sent"):
            page = await world.page()
            hidden = {None: None, "carried": typed(), "sent": await page.typed(rows_of(OWNER, 6000))}[capture]
            body = json.dumps(world.idp.request("ann", hidden, attempt=page.attempt)).encode()
            before = world.counts()["decisions"]
            responses = await asyncio.gather(
                *(world.idp.post(EVALUATION, body, headers={"Idempotency-Key": f"key-{capture}-x"}) for _ in range(6))
            )
            assert [response.status_code for response in responses] == [200] * 6
            assert len({response.content for response in responses}) == 1
            assert world.counts()["decisions"] == before + 1

    async def test_another_body_under_the_same_key_is_a_conflict(self, world: World) -> None:
        key = {"Idempotency-Key": "key-00001"}
        await world.idp.evaluate("ann", typed(), headers=key)
        before = world.dump()
        response = await world.idp.post(EVALUATION, world.idp.request("ben", typed()), headers=key)
        assert code(response) == (409, "idempotency_conflict")
        assert world.dump() == before

    async def test_keys_are_each_providers_own(self, world: World) -> None:
        key = {"Idempotency-Key": "key-00001"}
        one = await world.idp.evaluate("ann", typed(), headers=key)
        two = await world.other.evaluate("ann", typed(), headers=key)
        assert one["decision_id"] != two["decision_id"]

    @pytest.mark.parametrize("key", ["short", "k" * 129])
    async def test_a_key_of_unusable_length(self, world: World, key: str) -> None:
        response = await world.idp.post(EVALUATION, world.idp.request("ann"), headers={"Idempotency-Key": key})
        assert code(response) == (400, "bad_request")

    async def test_sec1_a_repeated_answer_uses_up_its_assertion_too(self, world: World) -> None:
        body = json.dumps(world.idp.request("ann", typed())).encode()
        key = {"Idempotency-Key": "key-00001"}
        await world.idp.post(EVALUATION, body, headers=key)
        token = world.idp.token(EVALUATION, body)
        assert (await world.idp.post(EVALUATION, body, token=token, headers=key)).status_code == 200
        assert code(await world.idp.post(EVALUATION, body, token=token, headers=key)) == (401, "token_replayed")


class TestEvasions:
    """The cheapest ones, for a user who is known and normally types."""

    @pytest.mark.parametrize("hidden", [state("pasted"), state("filled"), state("none"), None, "", "x", "{}"])
    async def test_sco2_no_evidence_is_a_step_up(self, world: World, hidden: str | None) -> None:
        await world.enroll("ann", OWNER)
        answer = await world.idp.evaluate("ann", hidden)
        assert (answer["action"], answer["source"]) == ("step_up", "scored")

    async def test_sco2_a_capture_that_was_withheld_is_a_step_up(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        page = await world.page()
        await page.typed(rows_of(STRANGER, 1))
        assert (await world.idp.evaluate("ann", None, attempt=page.attempt))["action"] == "step_up"

    async def test_sco2_another_input_context_has_no_profile(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        touched = typed().replace('"keyboard"', '"touch"')
        answer = await world.idp.evaluate("ann", touched)
        assert (answer["action"], (await world.last_body())["facts"]["profile.state"]) == ("step_up", "none")

    async def test_the_owner_is_allowed_and_a_stranger_is_asked(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        assert (await world.idp.evaluate("ann", typed()))["decision"] is True
        assert (await world.idp.evaluate("ann", typed(STRANGER)))["action"] == "step_up"

    async def test_of_concurrent_evaluations_on_one_capture_one_is_scored(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        for round_ in range(3):
            page = await world.page()
            hidden = await page.typed(rows_of(OWNER, 7000 + round_))
            answers = await asyncio.gather(*(world.idp.evaluate("ann", hidden, attempt=page.attempt) for _ in range(5)))
            assert sum(answer["decision"] for answer in answers) == 1
            assert {answer["source"] for answer in answers} == {"scored"}
            causes = [
                found.body["facts"]["keystroke.cause"]
                for found in await world.inside.decisions.recent(("one", "two"), 5)
            ]
            assert causes.count("replayed") == 4

    async def test_of_concurrent_evaluations_on_the_same_timings_one_is_scored(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        hidden = typed()
        answers = await asyncio.gather(*(world.idp.evaluate("ann", hidden) for _ in range(5)))
        assert sum(answer["decision"] for answer in answers) == 1

    async def test_somebody_elses_timings_may_be_the_same(self, world: World) -> None:
        """Digests are a person's own: nobody can spoil another's login by sending the same numbers first."""
        await world.enroll("ann", OWNER)
        hidden = typed()
        await world.idp.evaluate("ben", hidden)
        await world.other.evaluate("ann", hidden)
        assert (await world.idp.evaluate("ann", hidden))["decision"] is True


class TestUsualProvenance:
    async def test_five_logins_filled_and_confirmed_make_filling_usual(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        for _ in range(5):
            answer = await world.idp.login("ann", state("filled"), second_factor=True)
            assert answer["action"] == "step_up"
        answer = await world.idp.evaluate("ann", state("filled"))
        assert answer["decision"] is True
        assert (await world.last_body())["answer"]["rule_id"] == "usually-filled"
        assert (await world.idp.evaluate("ann", state("pasted")))["action"] == "step_up"
        assert (await world.idp.evaluate("ann", typed(STRANGER)))["action"] == "step_up"

    @pytest.mark.parametrize("outcome", ["failed", "abandoned", None])
    async def test_enr2_filling_that_did_not_succeed_makes_nothing_usual(
        self, world: World, outcome: str | None
    ) -> None:
        for _ in range(6):
            answer = await world.idp.evaluate("ann", state("filled"))
            if outcome:
                await world.idp.complete(answer["decision_id"], outcome)
        assert (await world.idp.evaluate("ann", state("filled")))["action"] == "step_up"

    async def test_one_typed_login_among_five_makes_filling_unusual(self, world: World) -> None:
        for hidden in (state("filled"), state("filled"), typed(), state("filled"), state("filled")):
            await world.idp.login("ann", hidden, second_factor=True)
        assert (await world.idp.evaluate("ann", state("filled")))["action"] == "step_up"

    async def test_a_password_thief_cannot_make_his_own_filling_usual(self, world: World) -> None:
        """At a client whose provider lets him in though a second factor was asked for, he opens the strict ones."""
        for _ in range(5):
            await world.idp.login("ann", state("filled"), second_factor=False, client="lenient")
        assert (await world.idp.evaluate("ann", state("filled"), client="strict"))["action"] == "step_up"


class TestLearning:
    async def test_enr1_states_and_counts_up_to_ready(self, world: World) -> None:
        assert await world.idp.profiles("ann") == {}
        for number in range(1, 11):
            answer = await world.idp.login("ann", typed(), second_factor=True)
            assert answer["action"] == "step_up"
            row = (await world.idp.profiles("ann"))["password"]
            assert (row["samples"], row["state"]) == (number, "ready" if number == 10 else "learning")
            assert row["ready_at"] == 10
        assert (await world.idp.evaluate("ann", typed()))["decision"] is True
        assert (await world.idp.evaluate("ann", typed(STRANGER)))["action"] == "step_up"

    async def test_enr1_a_profile_goes_stale_with_time(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        world.clock.forward(91 * 86_400)
        assert (await world.idp.profiles("ann"))["password"]["state"] == "stale"
        answer = await world.idp.evaluate("ann", typed())
        assert (answer["action"], (await world.last_body())["answer"]["rule_id"]) == (
            "step_up",
            "outcome.insufficient.stale",
        )

    @pytest.mark.parametrize("outcome", ["failed", "abandoned"])
    async def test_enr2_what_did_not_succeed_teaches_nothing(self, world: World, outcome: str) -> None:
        await world.enroll("ann", OWNER)
        before = profile_of(world)
        for person in (OWNER, STRANGER):
            answer = await world.idp.evaluate("ann", typed(person))
            assert (await world.idp.complete(answer["decision_id"], outcome, second_factor=True)).json()["closed"]
        assert profile_of(world) == before
        assert world.counts()["waiting_probes"] == 0

    async def test_enr2_a_password_alone_teaches_nothing_before_ready(self, world: World) -> None:
        for _ in range(12):
            await world.idp.login("ann", typed(STRANGER), second_factor=False)
        assert await world.idp.profiles("ann") == {}

    async def test_enr2_a_password_alone_teaches_where_the_client_says_it_suffices(self, world: World) -> None:
        for _ in range(10):
            await world.idp.login("ann", typed(), second_factor=False, client="lenient")
        row = (await world.idp.profiles("ann"))["password"]
        assert (row["samples"], row["state"], row["confirmed"]) == (10, "ready", False)

    async def test_enr2_a_profile_that_no_second_factor_confirmed_never_spares_one(self, world: World) -> None:
        """A password thief enrolled himself at a lenient client; his match must open no door anywhere."""
        for _ in range(10):
            await world.idp.login("ann", typed(STRANGER), second_factor=False, client="lenient")
        for client in ("lenient", "strict"):
            answer = await world.idp.evaluate("ann", typed(STRANGER), client=client)
            assert (await world.last_body())["facts"]["keystroke.outcome"] == "match"
            assert answer["action"] == "step_up"
        await world.idp.login("ann", typed(STRANGER), second_factor=True)
        assert (await world.idp.evaluate("ann", typed(STRANGER)))["action"] == "step_up"

    async def test_enr2_one_unconfirmed_sample_makes_the_profile_unconfirmed(self, world: World) -> None:
        for number in range(10):
            await world.idp.login("ann", typed(), second_factor=number != 4, client="lenient")
        assert (await world.idp.profiles("ann"))["password"]["confirmed"] is False

    async def test_enr2_a_ready_profile_learns_from_a_clear_match_but_not_from_a_mismatch(self, world: World) -> None:
        await world.enroll("ann", OWNER, samples=10)
        await world.idp.login("ann", typed(), second_factor=False)
        assert (await world.idp.profiles("ann"))["password"]["samples"] == 11
        await world.idp.login("ann", typed(STRANGER), second_factor=False)
        row = (await world.idp.profiles("ann"))["password"]
        assert (row["samples"], row["confirmed"]) == (11, True)

    async def test_enr2_a_match_that_is_not_clear_teaches_nothing(self, world: World) -> None:
        """Learning without a second factor asks for more than accepting does (ENOUGH_LLR)."""
        await world.enroll("ann", OWNER)
        told: dict[bool, bool] = {}
        for step in range(0, 45, 3):  # the owner, pressing ever longer
            rows = [(down, hold * (1 + step / 60)) for down, hold in rows_of(OWNER, 1 + step)]
            before = world.counts()["samples"]
            answer = await world.idp.login("ann", hidden_field(rows), second_factor=False)
            (score,) = (await world.last_body())["scores"]
            if answer["action"] == "allow" and (score["llr"] <= -1.0) not in told:
                told[score["llr"] <= -1.0] = world.counts()["samples"] > before
            if set(told) == {True, False}:
                break
        assert told == {True: True, False: False}

    async def test_enr2_a_completion_is_learned_once(self, world: World) -> None:
        answer = await world.idp.login("ann", typed(), second_factor=True)
        for _ in range(3):
            response = await world.idp.complete(answer["decision_id"], second_factor=True)
            assert response.json() == {"closed": False}
        assert (await world.idp.profiles("ann"))["password"]["samples"] == 1

    async def test_enr2_a_failed_login_cannot_be_called_a_success_later(self, world: World) -> None:
        answer = await world.idp.evaluate("ann", typed(STRANGER))
        await world.idp.complete(answer["decision_id"], "failed")
        assert (await world.idp.complete(answer["decision_id"], second_factor=True)).json() == {"closed": False}
        assert await world.idp.profiles("ann") == {}

    async def test_enr2_a_success_told_too_late_teaches_nothing(self, world: World) -> None:
        answer = await world.idp.evaluate("ann", typed())
        world.clock.forward(3601)
        assert (await world.idp.complete(answer["decision_id"], second_factor=True)).json() == {"closed": True}
        assert await world.idp.profiles("ann") == {}

    async def test_enr2_a_day_teaches_a_bounded_number(self, worlds: Any) -> None:
        from sidecar.config import LearningSettings

        world: World = await worlds(learning=LearningSettings(samples_per_day=3))
        for _ in range(5):
            await world.idp.login("ann", typed(), second_factor=True)
        assert (await world.idp.profiles("ann"))["password"]["samples"] == 3
        world.clock.forward(86_401)
        await world.idp.login("ann", typed(), second_factor=True)
        assert (await world.idp.profiles("ann"))["password"]["samples"] == 4

    async def test_enr2_a_frozen_sidecar_learns_nothing(self, worlds: Any) -> None:
        from sidecar.config import LearningSettings

        world: World = await worlds(learning=LearningSettings(frozen=True))
        await world.idp.login("ann", typed(), second_factor=True)
        assert await world.idp.profiles("ann") == {}

    @pytest.mark.parametrize("outcome", ["", "success", "SUCCEEDED", "second_factor_passed"])
    async def test_an_unknown_outcome_closes_nothing(self, world: World, outcome: str) -> None:
        answer = await world.idp.evaluate("ann", typed())
        assert code(await world.idp.complete(answer["decision_id"], outcome)) == (400, "bad_request")
        assert (await world.idp.complete(answer["decision_id"])).json() == {"closed": True}


class TestEvents:
    async def test_enr4_a_new_password_resets_that_field_only(self, world: World) -> None:
        from sidecar.demo.seeding import enroll
        from sidecar.evaluation.synthetic import probe_of

        await world.enroll("ann", OWNER)
        names = [probe_of(rows_of(OWNER, 100 + number, 6)[:-1], "username", enter=False) for number in range(12)]
        await enroll(world.inside, "one", "ann", names, origin="test")
        assert (await world.idp.tell("password_changed", "ann")).status_code == 204
        found = await world.idp.profiles("ann")
        assert set(found) == {"username"}
        assert found["username"]["samples"] == 12
        assert (await world.idp.evaluate("ann", typed()))["action"] == "step_up"

    async def test_a_repeat_of_an_old_change_of_password_forgets_nothing_newer(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        before = profile_of(world)
        oldest = world.clock() - 3600
        assert (await world.idp.tell("password_changed", "ann", at=oldest)).status_code == 204
        assert profile_of(world) == before
        assert (await world.idp.tell("password_changed", "ann", at=world.clock())).status_code == 204
        assert await world.idp.profiles("ann") == {}

    async def test_enr4_the_old_password_is_not_learned_into_the_new_profile(self, world: World) -> None:
        answer = await world.idp.evaluate("ann", typed())
        await world.idp.tell("password_changed", "ann")
        await world.idp.complete(answer["decision_id"], second_factor=True)
        assert await world.idp.profiles("ann") == {}

    async def test_an_account_that_is_deleted_leaves_no_row_that_names_it(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        await world.enroll("ben", OWNER)
        for sub in ("ann", "ben"):
            await world.idp.login(sub, typed(), second_factor=True, sid=f"sid-of-{sub}")
            await world.idp.evaluate(sub, typed(STRANGER))
        assert (await world.idp.tell("account_deleted", "ann")).status_code == 204
        gone, kept = world.pseudonym("ann"), world.pseudonym("ben")
        for table in TABLES:
            text = repr(world.rows(table))
            assert gone not in text, table
            assert "sid-of-ann" not in text, table
        assert kept in repr(world.rows("templates"))
        assert await world.idp.profiles("ann") == {}
        assert (await world.idp.evaluate("ann", typed()))["action"] == "step_up"

    async def test_a_deleted_accounts_open_login_teaches_nothing(self, world: World) -> None:
        answer = await world.idp.evaluate("ann", typed())
        await world.idp.tell("account_deleted", "ann")
        assert code(await world.idp.complete(answer["decision_id"], second_factor=True)) == (404, "not_found")
        assert await world.idp.profiles("ann") == {}

    async def test_a_logout_changes_nothing_that_is_known(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        before = profile_of(world)
        assert (await world.idp.tell("logout", "ann")).status_code == 204
        assert profile_of(world) == before

    @pytest.mark.parametrize("event", ["", "deleted", "account_purged", "PASSWORD_CHANGED"])
    async def test_an_unknown_event_is_refused(self, world: World, event: str) -> None:
        await world.enroll("ann", OWNER)
        before = profile_of(world)
        assert code(await world.idp.tell(event, "ann")) == (400, "bad_request")
        assert profile_of(world) == before


class TestTenants:
    async def test_not_even_a_provider_of_the_same_tenant_closes_anothers_decision(self, worlds: Any) -> None:
        world = await worlds(idp={"tenant": "shared"})
        answer = await world.idp.evaluate("ann", typed())
        assert (await world.other.complete(answer["decision_id"], second_factor=True)).status_code == 404
        assert (await world.idp.complete(answer["decision_id"], second_factor=True)).json() == {"closed": True}

    async def test_a_provider_cannot_see_or_close_anothers_decision(self, world: World) -> None:
        answer = await world.idp.evaluate("ann", typed())
        for outcome in ("succeeded", "failed", "abandoned"):
            response = await world.other.complete(answer["decision_id"], outcome, second_factor=True)
            assert code(response) == (404, "not_found")
        unknown = await world.other.complete("no-such-decision")
        assert unknown.content == response.content
        assert (await world.idp.complete(answer["decision_id"], second_factor=True)).json() == {"closed": True}

    async def test_the_same_subject_elsewhere_is_somebody_else(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        assert await world.other.profiles("ann") == {}
        assert (await world.other.evaluate("ann", typed()))["action"] == "step_up"
        before = profile_of(world)
        for event in ("password_changed", "account_deleted", "logout"):
            await world.other.tell(event, "ann")
        assert profile_of(world) == before
        assert (await world.idp.evaluate("ann", typed()))["decision"] is True


class TestWithoutThePassword:
    async def test_sec4_a_wrong_password_changes_nothing(self, world: World) -> None:
        """Whoever lacks the password reaches the widget's endpoints only: the provider asks for a decision after it."""
        await world.enroll("ann", OWNER)
        before = world.dump("waiting_batches")
        for _ in range(5):
            page = await world.page()
            await page.typed(rows_of(STRANGER, next(logins)))
        assert world.dump("waiting_batches") == before
        assert (await world.idp.evaluate("ann", typed()))["decision"] is True

    async def test_sec4_attempts_that_were_given_up_change_nothing_for_the_user(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        before, states = profile_of(world), await world.idp.profiles("ann")
        for hidden in (typed(STRANGER), state("filled"), state("pasted"), None, typed(STRANGER)):
            answer = await world.idp.evaluate("ann", hidden)
            await world.idp.complete(answer["decision_id"], "abandoned")
        assert profile_of(world) == before
        assert await world.idp.profiles("ann") == states
        assert (await world.idp.evaluate("ann", typed()))["decision"] is True


class TestRecords:
    async def test_prv4_no_timing_of_the_password_is_in_a_decision(self, world: World) -> None:
        await world.enroll("ann", OWNER)
        rows = rows_of(STRANGER, 1)
        page = await world.page()
        await world.idp.evaluate("ann", await page.typed(rows), attempt=page.attempt)
        text = json.dumps(await world.last_body())
        for _, hold in rows[:-1]:
            assert str(hold) not in text

    async def test_a_decision_row_does_not_tell_the_passwords_length(self, world: World) -> None:
        from sidecar.demo.seeding import enroll
        from sidecar.evaluation.synthetic import probe_of

        seen = set()
        for sub, length in (("ann", 8), ("ben", 12)):
            probes = [probe_of(rows_of(OWNER, 100 + number, length)) for number in range(12)]
            await enroll(world.inside, "one", sub, probes, origin="test")
            await world.idp.evaluate(sub, carried(OWNER, 1, length))
            row = world.rows("decisions")[-1]
            seen.add(len(row[6]))
            assert b"down-down" not in row[6]
        assert len(seen) == 1

    async def test_prv6_names_stand_nowhere_in_plain(self, world: World) -> None:
        await world.idp.login("someone-special", typed(), second_factor=True)
        files = [
            path.read_bytes() for path in world.settings.data_dir.iterdir() if path.name.startswith("gaitkeeper.db")
        ]
        assert b"someone-special" not in b"".join(files)
