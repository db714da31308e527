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

from idp_adapters.keycloak import sessions
from idp_adapters.keycloak.flows import Builder, Step
from idp_adapters.keycloak.keys import new_private_jwk, public_half
from idp_adapters.keycloak.record import Record
from idp_adapters.keycloak.sessions import KeycloakSessions
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
@pytest.mark.parametrize(("status", "permanent"), [(503, False), (429, False), (401, False), (400, True), (404, True)])
async def test_what_is_worth_another_try(status: int, permanent: bool, monkeypatch: Any) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        await ender(END, lambda _: httpx.Response(status), monkeypatch).end(item(), "user-1")
    assert failed.value.permanent is permanent


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
        return httpx.Response(204 if len(calls) == 2 else 404)

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
        do()
        record.add(what, before, after)

    Builder(realm, change, lambda what: record.last(what) is not None, said.append).ensure("top", STEPS)  # type: ignore[arg-type]
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
