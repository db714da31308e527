"""The Keycloak adapter without a Keycloak: what is sent when sessions end, the key's form, and what a second run leaves alone.

``make test-keycloak`` does the same against a real server.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from typer.testing import CliRunner

from idp_adapters.keycloak import sessions
from idp_adapters.keycloak.admin import KeycloakRefused
from idp_adapters.keycloak.choices import read, settle, unheard
from idp_adapters.keycloak.commands import keycloak, next_steps
from idp_adapters.keycloak.flows import Builder, Step
from idp_adapters.keycloak.keys import new_private_jwk, public_half
from idp_adapters.keycloak.record import Record, RecordDamaged
from idp_adapters.keycloak.sessions import KeycloakSessions
from sidecar.config import load_settings
from sidecar.errors import DeliveryFailed
from sidecar.ports import OutboxItem
from sidecar.tokens import new_signing_key, verify_request

NOW = 1_795_270_000.0
END = "https://idp/realms/a/gaitkeeper/sessions/end"
KEY = new_signing_key()


def item(scope: str = "session") -> OutboxItem:
    return OutboxItem("id-1", "a", "https://idp/realms/a", "revoke", {"scope": scope, "sid": "s1"}, 0, NOW)


def ender(url: str, answer: Callable[[httpx.Request], httpx.Response], monkeypatch: Any) -> KeycloakSessions:
    monkeypatch.setattr(sessions, "PAUSE_SECONDS", 0)
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return KeycloakSessions(url, "https://side.car", KEY, client, lambda: NOW)


@pytest.mark.anyio
async def test_the_realm_resource_is_asked_until_nothing_is_left_each_time_signed_anew(monkeypatch: Any) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        claims = verify_request(
            token,
            {"https://side.car": [KEY.jwk]},
            audience=END,
            method="POST",
            url=END,
            body=request.content,
            now=NOW,
        )
        seen.append((claims.jti, json.loads(request.content)))
        return httpx.Response(200, json={"ended": 1 if len(seen) == 1 else 0})

    await ender(END, answer, monkeypatch).end(item(), "user-1")
    assert [body for _, body in seen] == [{"id": "id-1", "scope": "session", "subject": "user-1", "sid": "s1"}] * 2
    assert seen[0][0] != seen[1][0]


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "permanent"), [(503, False), (429, False), (401, False), (400, True), (404, False)])
async def test_what_is_worth_another_try(status: int, permanent: bool, monkeypatch: Any) -> None:
    """A server whose jar is missing for the time of an upgrade answers 404; the resource itself never does."""
    with pytest.raises(DeliveryFailed) as failed:
        await ender(END, lambda _: httpx.Response(status), monkeypatch).end(item(), "user-1")
    assert failed.value.permanent is permanent


ADMIN = "https://idp/admin/realms/a"
ODD = {
    "a page": httpx.Response(200, text="<html>maintenance"),
    "no object": httpx.Response(200, json=[1]),
    "other keys": httpx.Response(200, json={"error": "x"}),
    "null": httpx.Response(200, json=None),
    "a proxy's 404": httpx.Response(404, text="not here"),
    "another 404": httpx.Response(404, json={"error": "Realm not found."}),
}


@pytest.mark.anyio
@pytest.mark.parametrize("odd", list(ODD))
@pytest.mark.parametrize("scope", ["session", "all", "disable"])
@pytest.mark.parametrize("signed_in", [True, False])
async def test_an_answer_that_is_not_keycloaks_is_a_failure_to_be_tried_again(
    odd: str, scope: str, signed_in: bool, monkeypatch: Any
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if signed_in and request.url.path.endswith("/token"):
            return httpx.Response(200, json={"access_token": "t"})
        return ODD[odd]

    urls = [ADMIN] if scope == "disable" else [ADMIN, END]
    if signed_in and odd in ("a page", "no object", "other keys", "null"):
        urls = urls[1:]  # a 200 to a DELETE or PUT says enough
    for url in urls:
        with pytest.raises(DeliveryFailed) as failed:
            await ender(url, answer, monkeypatch).end(item(scope), "user-1")
        assert failed.value.permanent is False


@pytest.mark.anyio
async def test_an_account_is_disabled_before_its_sessions_end_and_by_the_admin_api_only(monkeypatch: Any) -> None:
    calls = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            return httpx.Response(200, json={"access_token": "t"})
        calls.append((request.method, request.url.path.removeprefix("/admin/realms/a/users/user-1"), request.content))
        return httpx.Response(200, json=[]) if request.method == "GET" else httpx.Response(204)

    await ender(ADMIN, answer, monkeypatch).end(item("disable"), "user-1")
    assert calls[0] == ("PUT", "", b'{"enabled":false}')
    assert ("POST", "/logout", b"") in calls
    by_resource = ender(END, answer, monkeypatch)
    assert not by_resource.may_disable
    with pytest.raises(DeliveryFailed) as failed:
        await by_resource.end(item("disable"), "user-1")
    assert failed.value.permanent


@pytest.mark.anyio
@pytest.mark.parametrize(("count", "alone"), [(1, 1), (3, 1), (500, 50)])
async def test_nobodys_sessions_wait_for_an_application_that_hangs_nor_for_hundreds_of_others(
    count: int, alone: int, monkeypatch: Any
) -> None:
    """With one session after the other, the end of all of them must come whatever becomes of each."""
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            return httpx.Response(200, json={"access_token": "t"})
        calls.append(f"{request.method} {request.url.path.rpartition('/')[2]}")
        if request.method == "DELETE" and alone == 1:
            raise httpx.ReadTimeout("the application is told, and does not answer")
        if request.method == "GET":
            gone = "POST logout" in calls or request.url.path.endswith("/consents")
            return httpx.Response(200, json=[] if gone else [{"id": f"s{number}"} for number in range(count)])
        return httpx.Response(204)

    await ender(ADMIN, answer, monkeypatch).end(item("all"), "user-1")
    assert calls.count("POST logout") >= 1
    assert len([call for call in calls if call.startswith("DELETE")]) == alone


@pytest.mark.anyio
async def test_sessions_that_come_back_are_no_receipt(monkeypatch: Any) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        await ender(END, lambda _: httpx.Response(200, json={"ended": 1}), monkeypatch).end(item(), "user-1")
    assert failed.value.permanent is False


@pytest.mark.anyio
async def test_the_admin_api_is_tried_online_then_offline_with_a_fresh_assertion_each_time(monkeypatch: Any) -> None:
    calls, ids = [], []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            assertion = parse_qs(request.content.decode())["client_assertion"][0]
            token = jwt.decode(assertion, ECKey.import_key(KEY.pem), algorithms=["ES256"])
            assert token.claims["aud"] == "https://idp/realms/a/protocol/openid-connect/token"
            assert token.claims["exp"] - token.claims["iat"] <= 60
            ids.append(token.claims["jti"])
            return httpx.Response(200, json={"access_token": "t"})
        calls.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx.Response(204) if len(calls) == 2 else httpx.Response(404, json={"error": "Sesssion not found"})

    await ender("https://idp/admin/realms/a", answer, monkeypatch).end(item(), "user-1")
    path = "DELETE /admin/realms/a/sessions/s1?isOffline="
    assert calls == [f"{path}false", f"{path}true"] * 2
    assert len(set(ids)) == 2


def test_the_public_half_of_a_key_verifies_what_its_private_half_signs_and_holds_no_secret() -> None:
    private = new_private_jwk()
    public = public_half(private)
    assert "d" not in public
    token = jwt.encode({"alg": "ES256"}, {"a": 1}, ECKey.import_key(private))
    assert jwt.decode(token, ECKey.import_key(public), algorithms=["ES256"]).claims == {"a": 1}


class Realm:
    """As much of the Admin API as making flows needs: executions by flow, in a list that tests may change."""

    def __init__(self) -> None:
        self.flows: dict[str, list[dict[str, Any]]] = {}
        self.fail_after: int | None = None
        self.made = 0

    def get(self, _: str) -> list[dict[str, str]]:
        return [{"alias": alias} for alias in self.flows]

    def find(self, path: str) -> list[dict[str, Any]]:
        return list(self.flows.get(path.split("/")[3].replace("%20", " "), []))

    def put(self, path: str, body: dict[str, Any]) -> None:
        self._count()
        rows = self.flows[path.split("/")[3].replace("%20", " ")]
        rows[[row["id"] for row in rows].index(body["id"])] = body

    def post(self, path: str, body: dict[str, Any]) -> str:
        self._count()
        words = path.replace("%20", " ").split("/")
        if path == "/authentication/flows":
            self.flows[body["alias"]] = []
        elif words[-1] == "config":
            row = next(row for rows in self.flows.values() for row in rows if row["id"] == words[3])
            row["authenticationConfig"] = body["alias"]
        else:
            row = {"id": f"id-{self.made}", "level": 0, "requirement": "DISABLED", "providerId": body.get("provider")}
            self.flows[words[3]].append(row | {"displayName": body.get("alias", "")})
            if words[-1] == "flow":
                self.flows[body["alias"]] = []
        return "made"

    def _count(self) -> None:
        self.made += 1
        if self.fail_after is not None and self.made > self.fail_after:
            raise RuntimeError("the connection is gone")


STEPS = (
    Step("a", "REQUIRED", {"step": "carry"}),
    Step("inner", "CONDITIONAL", steps=(Step("b", "REQUIRED"), Step("c", "ALTERNATIVE"))),
    Step("a", "REQUIRED", {"step": "decide"}),
)


def build(realm: Realm, file: Path) -> tuple[list[str], list[str]]:
    record, changes, said = Record(file), list[str](), list[str]()

    def change(what: str, before: Any, after: Any, do: Callable[[], object]) -> None:
        changes.append(what)
        intention = record.intend(what, before, after)
        do()
        record.confirm(intention)

    Builder(realm, change, record, said.append).ensure("top", STEPS)  # type: ignore[arg-type]
    return changes, said


def whole(realm: Realm) -> dict[str, list[tuple[Any, ...]]]:
    return {
        alias: [(row["providerId"] or row["displayName"], row["requirement"]) for row in rows]
        for alias, rows in realm.flows.items()
    }


def test_a_flow_is_the_same_wherever_its_making_was_cut_short(tmp_path: Path) -> None:
    complete = Realm()
    changes, _ = build(complete, tmp_path / "complete.jsonl")
    assert whole(complete) == {
        "top": [("a", "REQUIRED"), ("inner", "CONDITIONAL"), ("a", "REQUIRED")],
        "inner": [("b", "REQUIRED"), ("c", "ALTERNATIVE")],
    }
    for stop in range(len(changes)):
        realm, file = Realm(), tmp_path / f"{stop}.jsonl"
        realm.fail_after = stop
        with pytest.raises(RuntimeError):
            build(realm, file)
        realm.fail_after = None
        build(realm, file)
        assert whole(realm) == whole(complete), stop
        assert build(realm, file) == ([], [])


def test_what_an_administrator_took_away_stays_away(tmp_path: Path) -> None:
    realm, file = Realm(), tmp_path / "record.jsonl"
    build(realm, file)
    realm.flows["top"][0]["requirement"] = "DISABLED"
    del realm.flows["inner"][1]
    changes, said = build(realm, file)
    assert changes == []
    assert len(said) == 2
    realm.flows.clear()  # all of it gone: then it is made anew
    assert len(build(realm, file)[0]) > 5


def test_a_step_that_stands_for_another_is_not_added_beside_it(tmp_path: Path) -> None:
    realm, file = Realm(), tmp_path / "record.jsonl"
    build(realm, file)
    record = Record(file)
    newer = (*STEPS[:1], Step("inner", "CONDITIONAL", steps=(Step("better b", "REQUIRED", instead_of="b"),)), STEPS[2])
    Builder(realm, lambda *_: pytest.fail("nothing is to be changed"), record, str).ensure("top", newer)  # type: ignore[arg-type]


def test_a_change_that_was_begun_keeps_its_old_value_and_is_not_taken_for_made(tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    Record(file).intend("realm loginTheme", "old", "new")
    later = Record(file)
    assert later.last("realm loginTheme") is None
    later.found("realm loginTheme", "another")
    assert later.last("realm loginTheme") is None
    later.found("realm loginTheme", "new")
    found = Record(file).last("realm loginTheme")
    assert found
    assert (found.before, found.after) == ("old", "new")


@pytest.mark.parametrize("cut", range(1, 110, 7))
def test_a_line_that_was_cut_off_in_writing_is_passed_over(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "record.jsonl"
    record = Record(file)
    for number in range(2):
        record.confirm(record.intend(f"setting {number}", "old", "new"))
    text = file.read_bytes()
    file.write_bytes(text[: len(text) - cut])
    again = Record(file)
    again.confirm(again.intend("another", 1, 2))
    whole = Record(file)
    assert whole.last("another")
    assert whole.last("setting 0")


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[]", '{"made": 7}', '{"made": 0}', '{"number": 9, "what": "a", "before": 1, "after": 2}', "{}"],
)
def test_other_damage_of_a_record_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "record.jsonl"
    record = Record(file)
    record.confirm(record.intend("a", 1, 2))
    file.write_text(file.read_text() + line + "\n")
    record = Record(tmp_path / "other.jsonl")
    with pytest.raises(RecordDamaged, match=r"record\.jsonl:3: "):
        Record(file)


HERE = {"sidecar": "https://gate.example.org", "issuer": "https://idp/realms/a"}


def test_what_the_realm_remembers_holds_until_something_else_is_said() -> None:
    first = settle({**HERE, "levels": True, "direct_grant": True, "consent_version": "7", "deadline_ms": 300}, {})
    kept = read(first.text())
    assert settle(dict.fromkeys(kept), kept) == first
    assert settle({"consent_version": "8"}, kept).consent_version == "8"
    assert settle({"direct_grant": False}, kept).direct_grant is False
    assert settle({"levels": True}, kept) == first
    late = settle({"deadline_ms": 100}, kept)
    assert late.deadline_ms == 300
    assert len(unheard({"deadline_ms": 100}, late)) == 1
    assert read(settle({"direct_grant": False, "deadline_ms": None}, kept).text()).get("direct_grant") is None


@pytest.mark.parametrize("said", [{"levels": False}, {"username_first": True}, {"clients": ("app",)}])
def test_what_contradicts_the_first_installation_is_refused(said: dict[str, Any]) -> None:
    kept = read(settle({**HERE, "levels": True}, {}).text())
    with pytest.raises(KeycloakRefused):
        settle(said, kept)


def test_named_clients_add_up_and_give_way_to_the_whole_realm() -> None:
    kept = read(settle({**HERE, "clients": ("a",)}, {}).text())
    both = settle({"clients": ("b", "a")}, kept)
    assert both.clients == ("a", "b")
    assert (both.with_brokers, both.with_registration) == (False, False)
    assert settle({"brokers": True}, kept).with_brokers
    whole = settle({}, kept, whole_realm=True)
    assert whole.clients == ()
    assert whole.with_brokers


def test_a_first_installation_needs_a_sidecar_and_a_broken_memory_is_no_memory() -> None:
    with pytest.raises(KeycloakRefused):
        settle({}, {})
    with pytest.raises(KeycloakRefused):
        read("{")


@pytest.mark.parametrize(
    "said",
    [
        ("--sidecar", "gate.example.org"), ("--sidecar", "https://"), ("--sidecar", "ftp://gate.example.org"),
        ("--reach", "gate:8800"), ("--issuer", "main"), ("--server", "login.example.org"), ("--endpoint", "/gate"),
        ("--sidecar", "https://gate:port"), ("--fail-mode", "opne"), ("--secret-fields", "some"),
        ("--transport", "direkt"), ("--consent-version", "a b"),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_meant_is_refused_before_anything_is_asked(said: tuple[str, str]) -> None:
    words = ["plan", "--realm", "a", "--user", "a", "--password", "b", *said]
    refused = CliRunner().invoke(keycloak, words)
    assert refused.exit_code == 2
    assert f"{said[0]}: '{said[1]}'" in refused.output.replace("\n", "").replace("│", "").replace("  ", " ")


def test_the_settings_that_are_printed_are_settings_of_the_sidecar(tmp_path: Path) -> None:
    (tmp_path / "main-jwks.json").write_text("{}")
    chosen = settle({**HERE, "issuer": "https://login.example.org/realms/main", "secret_fields": "summary"}, {})
    printed = next_steps("main", tmp_path, chosen)
    lines = [line for line in printed.splitlines() if line.startswith("       ")]
    file = tmp_path / "gaitkeeper.toml"
    file.write_text("\n".join(lines).replace("[[idps]]", 'data_dir = "data"\n[[idps]]'))
    settings = load_settings(file)
    assert settings.deadline_ms == 200
    (idp,) = settings.idps
    assert (idp.tenant, idp.adapter, idp.secret_fields) == ("main", "keycloak", "summary")
    assert idp.origins == ("https://login.example.org",)
    assert idp.revocation_url == "https://login.example.org/realms/main/gaitkeeper/sessions/end"
    by_admin = next_steps("main", tmp_path, settle({"admin_revocation": True}, read(chosen.text())))
    assert 'revocation_url = "https://login.example.org/admin/realms/main"' in by_admin
