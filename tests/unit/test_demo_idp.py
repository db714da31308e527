"""The demo provider against a scripted sidecar: every login path, what the sidecar is told, and what revokes."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from support.provider import (
    ADA,
    APP,
    CALLBACK,
    IDP,
    PLAIN,
    REVOKE,
    SIDECAR,
    TOTP,
    VERIFIER,
    Browser,
    World,
    answer,
    query,
)

from idp_adapters.demo import users
from idp_adapters.demo.app import create_app
from idp_adapters.demo.settings import DemoSettings, SeedUser, demo_client, load_settings, save_settings
from sidecar.tokens import new_signing_key, sign_request


def test_code_flow_gives_a_verifiable_id_token(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        redirect = await browser.submit(
            await browser.login_page(), username="Ada", password=ADA.password, gaitkeeper_capture='{"v":1}'
        )
        assert query(redirect)["state"] == "st"
        claims = await browser.claims(redirect)
        assert claims["iss"] == IDP
        assert claims["aud"] == ["harbour-bank"]
        assert (claims["sub"], claims["preferred_username"], claims["roles"]) == (ADA.sub, "ada", ["admin"])
        assert (claims["acr"], claims["amr"], claims["nonce"]) == ("1", ["pwd"], "no")
        asked = (await browser.told("evaluation"))[0]
        assert asked["subject"] == {"type": "user", "id": ADA.sub, "properties": {"name": "ada"}}
        assert asked["resource"] == {"type": "client", "id": "harbour-bank"}
        assert asked["context"]["capture"] == '{"v":1}'
        assert asked["context"]["sid"] == claims["sid"]
        assert world.calls[1] == (
            "/v1/decisions/dec-1/completion",
            {"outcome": "succeeded", "second_factor": False, "sid": claims["sid"]},
        )

    play(scenario)


def test_pkce_is_required_and_a_code_is_spent_once(play: Callable[..., None]) -> None:
    async def scenario(_: World, browser: Browser) -> None:
        assert query(await browser.start(code_challenge="", code_challenge_method=""))["error"] == "invalid_request"
        assert query(await browser.start(code_challenge_method="plain"))["error"] == "invalid_request"
        assert (await browser.start(redirect_uri="https://evil.example/")).status_code == 400
        redirect = await browser.sign_in()
        wrong = {"grant_type": "authorization_code", "code": query(redirect)["code"], "redirect_uri": CALLBACK}
        again = await browser.sign_in(prompt="login")
        access = (await browser.tokens(again))["access_token"]
        bearer = {"Authorization": f"Bearer {access}"}
        assert (await browser.http.get("/userinfo", headers=bearer)).json()["name"] == "Ada Lovelace"
        form = wrong | {"code": query(again)["code"], "code_verifier": VERIFIER}
        second = await browser.http.post("/token", data=form, auth=("harbour-bank", "app-secret"))
        assert second.json()["error"] == "invalid_grant"
        assert (await browser.http.get("/userinfo", headers=bearer)).status_code == 401
        verifier = wrong | {"code": query(await browser.start())["code"], "code_verifier": "w" * 43}
        refused = await browser.http.post("/token", data=verifier, auth=("harbour-bank", "app-secret"))
        assert refused.json()["error"] == "invalid_grant"

    play(scenario)


def test_wrong_password_keeps_transaction_and_attempt(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        page = await browser.login_page()
        retry = await browser.submit(page, username="ada", password="not this")
        assert retry.status_code == 200
        assert "do not belong together" in retry.text
        seen = [re.findall(r'data-attempt="([^"]+)"|name="txn" value="([^"]+)"', text) for text in (page, retry.text)]
        assert seen[0] == seen[1]
        assert world.told("evaluation") == []
        assert "code" in query(await browser.submit(retry.text, username="ada", password=ADA.password))

    play(scenario)


def test_two_tabs_are_two_transactions(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        first, second = await browser.login_page(state="one"), await browser.login_page(state="two")
        assert query(await browser.submit(second, username="ada", password=ADA.password))["state"] == "two"
        assert query(await browser.submit(first, username="ada", password=ADA.password))["state"] == "one"
        attempts = [call["context"]["attempt"] for call in world.told("evaluation")]
        assert len(set(attempts)) == 2
        stranger = Browser(world)
        stolen = await stranger.http.get("/login", params={"txn": re.search(r'"txn" value="([^"]+)', first)[1]})  # type: ignore[index]
        assert stolen.status_code == 400
        await stranger.http.aclose()

    play(scenario)


def test_form_without_csrf_token_is_refused(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        page = (await browser.login_page()).replace('name="csrf" value="', 'name="csrf" value="0')
        assert (await browser.submit(page, username="ada", password=ADA.password)).status_code == 400
        assert world.calls == []

    play(scenario)


@pytest.mark.parametrize(("mode", "leads_to"), [("open", "callback"), ("challenge", "/otp"), ("closed", "refused")])
@pytest.mark.parametrize("trouble", ["down", "slow", "broken", "nonsense", "contradiction"])
def test_fail_modes(play: Callable[..., None], mode: str, leads_to: str, trouble: str) -> None:
    def fails() -> httpx.Response:
        if trouble == "down":
            raise httpx.ConnectError("refused")
        if trouble == "broken":
            return httpx.Response(503)
        return (
            httpx.Response(200, json=answer("deny") | {"decision": True})
            if trouble == "contradiction"
            else httpx.Response(200, text="<")
        )

    async def scenario(world: World, browser: Browser) -> None:
        world.reply = fails
        if trouble == "slow":
            handle = world.handle

            async def late(request: httpx.Request) -> httpx.Response:
                await asyncio.sleep(5)
                return await handle(request)

            world.app.state.services.hook._http._transport = httpx.MockTransport(late)
        began = time.monotonic()
        step = await browser.sign_in()
        assert time.monotonic() - began < 2
        assert (leads_to in step.headers["location"]) if leads_to != "refused" else step.status_code == 403
        assert await browser.told("completion") == []
        if trouble == "down":
            assert len(world.idempotency) == 2
            assert len(set(world.idempotency)) == 1

    play(scenario, fail_mode=mode)


def test_step_up_asks_for_a_code_and_reports_the_second_factor(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        world.says("step_up")
        page = await browser.otp_page()
        assert world.told("completion") == []
        redirect = await browser.submit(page, code=pyotp.TOTP(TOTP).now())
        claims = await browser.claims(redirect)
        assert (claims["acr"], claims["amr"]) == ("2", ["pwd", "otp"])
        sid = world.told("evaluation")[0]["context"]["sid"]
        assert claims["sid"] == sid
        assert await browser.told("completion") == [{"outcome": "succeeded", "second_factor": True, "sid": sid}]

    play(scenario)


def test_totp_steps_are_used_once_and_increase(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        world.says("step_up")
        code = pyotp.TOTP(TOTP).now()
        assert "code" in query(await browser.submit(await browser.otp_page(), code=code))
        page = await browser.otp_page(prompt="login")
        assert "used already" in (await browser.submit(page, code=code)).text
        table, now = world.app.state.services.users, time.time() + 3600
        ada, totp = table.named("ada"), pyotp.TOTP(TOTP)
        assert table.use_code(ada, totp.at(int(now) + 30), now)
        assert not table.use_code(ada, totp.at(int(now)), now)
        assert not table.use_code(ada, totp.at(int(now) + 90), now)

    play(scenario)


def test_guessing_codes_ends_whatever_login_it_happens_in(play: Callable[..., None]) -> None:
    """New logins give a guesser no new tries; after a quarter of an hour the owner's code is taken again."""

    async def scenario(world: World, browser: Browser) -> None:
        table, now = world.app.state.services.users, time.time() + 3600
        ada, totp = table.named("ada"), pyotp.TOTP(TOTP)
        wrong = "000000" if totp.at(int(now)) != "000000" else "000001"
        assert not any(table.use_code(ada, wrong, now) for _ in range(10))
        assert not table.use_code(ada, totp.at(int(now)), now)
        later = now + 1000
        assert table.use_code(ada, totp.at(int(later)), later)

    play(scenario)


def test_five_wrong_codes_fail_and_cancel_abandons(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        world.says("step_up")
        page = await browser.otp_page()
        last = [await browser.submit(page, code="000000") for _ in range(5)][-1]
        assert last.status_code == 403
        assert (await browser.submit(page, code=pyotp.TOTP(TOTP).now())).status_code == 400
        assert [report["outcome"] for report in await browser.told("completion")] == ["failed"]
        page = await browser.otp_page()
        form = dict(re.findall(r'name="(txn|csrf)" value="([^"]*)"', page))
        back = await browser.http.post("/login/cancel", data=form)
        assert query(back) == {"error": "access_denied", "state": "st"}
        assert [report["outcome"] for report in await browser.told("completion")] == ["failed", "abandoned"]

    play(scenario)


def test_a_new_password_in_the_same_transaction_is_a_new_attempt(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        page = await browser.login_page()
        world.says("step_up")
        assert (
            (await browser.submit(page, username="ada", password=ADA.password)).headers["location"].startswith("/otp")
        )
        world.says("allow")
        assert "code" in query(await browser.submit(page, username="ada", password=ADA.password))
        assert len({call["context"]["attempt"] for call in world.told("evaluation")}) == 2
        outcomes = [report["outcome"] for report in await browser.told("completion")]
        assert sorted(outcomes) == ["abandoned", "succeeded"]

    play(scenario)


def test_denial_is_neutral_and_reports_nothing(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        world.says("deny")
        refused = await browser.sign_in()
        assert refused.status_code == 403
        assert "typing" not in refused.text
        assert "demo_idp_session" not in browser.http.cookies
        assert await browser.told("completion") == []

    play(scenario)


@pytest.mark.parametrize(
    ("client", "action", "enters"),
    [
        ({"without_second_factor": "allow"}, "step_up", True),
        ({"without_second_factor": "deny"}, "step_up", False),
        ({"without_second_factor": "allow", "always_second_factor": True}, "allow", False),
    ],
)
def test_user_without_second_factor(
    play: Callable[..., None], client: dict[str, Any], action: str, enters: bool
) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        world.says(action)
        assert (await browser.sign_in(PLAIN)).status_code == (303 if enters else 403)
        assert [report["outcome"] for report in await browser.told("completion")] == [
            "succeeded" if enters else "failed"
        ]

    play(scenario, **client)


def test_floor_asks_for_a_second_factor_whatever_the_score(play: Callable[..., None]) -> None:
    async def scenario(_: World, browser: Browser) -> None:
        redirect = await browser.submit(await browser.otp_page(), code=pyotp.TOTP(TOTP).now())
        assert (await browser.claims(redirect))["acr"] == "2"

    play(scenario, always_second_factor=True)


def test_acr_wish_raises_a_running_session(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        sid = (await browser.claims(await browser.sign_in()))["sid"]
        step = await browser.start(acr_values="2")
        assert query(await browser.start(acr_values="2", prompt="none"))["error"] == "login_required"
        page = (await browser.http.get(step.headers["location"])).text
        claims = await browser.claims(await browser.submit(page, code=pyotp.TOTP(TOTP).now()))
        assert (claims["acr"], claims["sid"]) == ("2", sid)
        assert len(world.told("evaluation")) == 1

    play(scenario)


def test_acr_wish_goes_unfulfilled_without_a_second_factor(play: Callable[..., None]) -> None:
    async def scenario(_: World, browser: Browser) -> None:
        assert (await browser.claims(await browser.sign_in(PLAIN, acr_values="2")))["acr"] == "1"

    play(scenario)


def test_sessions_are_reused_as_the_request_allows(play: Callable[..., None]) -> None:
    async def scenario(_: World, browser: Browser) -> None:
        assert query(await browser.start(prompt="none"))["error"] == "login_required"
        await browser.sign_in()
        assert "code" in query(await browser.start(prompt="none"))
        assert "code" in query(await browser.start(max_age="600"))
        assert "txn" in query(await browser.start(prompt="login"))
        await asyncio.sleep(1.1)
        assert "txn" in query(await browser.start(max_age="0"))

    play(scenario)


def test_username_first_sends_both_captures(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        page = await browser.login_page()
        assert 'name="password"' not in page
        next_page = await browser.submit(page, username="ada", gaitkeeper_capture="first")
        second = (await browser.http.get(next_page.headers["location"])).text
        assert 'name="username"' not in second
        attempts = [re.findall(r'data-attempt="([^"]+)"', text) for text in (page, second)]
        assert attempts[0] == attempts[1]
        assert "code" in query(await browser.submit(second, password=ADA.password, gaitkeeper_capture="second"))
        asked = world.told("evaluation")[0]["context"]
        assert asked["capture"] == ["first", "second"]
        assert asked["attempt"] == attempts[0][0]

    play(scenario, username_first=True)


def test_login_without_script_sends_no_capture(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        assert "code" in query(await browser.sign_in(gaitkeeper_capture=""))
        assert "capture" not in world.told("evaluation")[0]["context"]

    play(scenario)


def test_revocation_ends_the_session_and_tells_the_client(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        redirect = await browser.sign_in()
        tokens = await browser.tokens(redirect)
        sid = world.told("evaluation")[0]["context"]["sid"]
        assert (await world.revoke(browser.http, scope="session", sid="another")).json() == {"ended": 0}
        assert (await world.revoke(browser.http, id="out-2", scope="session", sid=sid)).json() == {"ended": 1}
        await world.app.state.services.settled()
        keys = KeySet.import_key_set((await browser.http.get("/jwks")).json())
        token = jwt.decode(world.logout_tokens[0], keys, ["ES256"])
        assert token.header["typ"] == "logout+jwt"
        assert (token.claims["sid"], token.claims["sub"], token.claims["aud"]) == (sid, ADA.sub, "harbour-bank")
        assert "http://schemas.openid.net/event/backchannel-logout" in token.claims["events"]
        assert "nonce" not in token.claims
        assert query(await browser.start(prompt="none"))["error"] == "login_required"
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await browser.http.get("/userinfo", headers=bearer)).status_code == 401

    play(scenario)


def test_revocation_of_everything_catches_a_half_finished_login(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        world.says("step_up")
        page = await browser.otp_page()
        assert (await world.revoke(browser.http)).json() == {"ended": 0}
        assert (await browser.submit(page, code=pyotp.TOTP(TOTP).now())).status_code == 400

    play(scenario)


def test_revocation_replay_is_idempotent(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        await browser.sign_in()
        content = json.dumps(
            {"id": "out-9", "scope": "all", "subject": ADA.sub, "sid": None, "reason": "risk"}
        ).encode()
        token = sign_request(
            world.sidecar_key, issuer=SIDECAR, audience=REVOKE, method="POST", url=REVOKE, body=content, now=time.time()
        )
        assert (await world.post_revocation(browser.http, content, token)).json() == {"ended": 1}
        await browser.sign_in()
        assert (await world.post_revocation(browser.http, content, token)).json() == {"ended": 1}
        assert (await world.revoke(browser.http, id="out-9", reason="risk")).json() == {"ended": 1}
        assert "code" in query(await browser.start(prompt="none"))
        assert (await world.revoke(browser.http, id="out-9", subject=PLAIN.sub)).status_code == 409

    play(scenario)


def test_forged_revocations_are_refused(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        await browser.sign_in()
        assert (await world.revoke(browser.http, key=new_signing_key())).status_code == 401
        body = json.dumps({"id": "x", "scope": "all", "subject": ADA.sub}).encode()
        signed = {
            "issuer": SIDECAR,
            "audience": REVOKE,
            "method": "POST",
            "url": REVOKE,
            "body": body,
            "now": time.time(),
        }
        for change in (
            {"audience": SIDECAR},
            {"url": IDP + "/token"},
            {"body": b"{}"},
            {"issuer": IDP},
            {"now": time.time() - 3600},
        ):
            token = sign_request(world.sidecar_key, **(signed | change))  # type: ignore[arg-type]
            assert (await world.post_revocation(browser.http, body, token)).status_code == 401
        own = world.provider_key()
        token = sign_request(own, **signed)  # type: ignore[arg-type]
        assert (await world.post_revocation(browser.http, body, token)).status_code == 401
        good = sign_request(world.sidecar_key, **(signed | {"body": b"[]"}))  # type: ignore[arg-type]
        assert (await world.post_revocation(browser.http, b"[]", good)).status_code == 400
        assert "code" in query(await browser.start(prompt="none"))

    play(scenario)


def test_reports_are_retried(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idp_adapters.demo.hook.BACKGROUND_PAUSES", (0.01, 0.01))

    async def scenario(world: World, browser: Browser) -> None:
        world.report_status = [503, 503, 200]
        await browser.sign_in()
        assert len(await browser.told("completion")) == 3

    play(scenario)


def test_account_events_reach_the_sidecar(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        id_token = (await browser.tokens(await browser.sign_in()))["id_token"]
        sid = world.told("evaluation")[0]["context"]["sid"]
        page = (await browser.http.get("/password")).text
        new = "a new long password"
        typed = {"password": ADA.password, "new_password": new, "repeated": new}
        assert "is changed" in (await browser.submit(page, **typed)).text
        evil = {"id_token_hint": id_token, "post_logout_redirect_uri": "https://evil.example/"}
        good = {"id_token_hint": id_token, "post_logout_redirect_uri": APP + "/signed-out", "state": "s1"}
        assert "sign out?" in (await browser.http.get("/logout", params=good | {"id_token_hint": "x"})).text
        out = await browser.http.get("/logout", params=good)
        assert out.headers["location"] == APP + "/signed-out?state=s1"
        assert (await browser.http.get("/logout", params=evil)).status_code == 200
        ada = replace(ADA, password=new)
        await browser.sign_in(ada)
        page = (await browser.http.get("/account/delete")).text
        assert "Goodbye" in (await browser.submit(page, password=new)).text
        events = sorted(await browser.told("/v1/events"), key=lambda event: event["type"])
        assert events == [
            {"type": "account_deleted", "subject": {"id": ADA.sub}},
            {"type": "logout", "subject": {"id": ADA.sub}, "sid": sid},
            {"type": "password_changed", "subject": {"id": ADA.sub}},
        ]
        assert "do not belong" in (await browser.sign_in(ada)).text
        assert len(world.logout_tokens) == 2

    play(scenario)


def test_signup_enrols_a_second_factor(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        page = (await browser.http.get("/signup")).text
        typed = {"username": "Zoe.1", "name": "Zoe <b>", "password": "long enough"}
        done = (await browser.submit(page, **typed)).text
        assert "otpauth://totp/" in done
        assert "Zoe &lt;b&gt;" in done
        assert "taken" in (await browser.submit(page, **typed)).text
        codes = (await browser.http.get("/phone/codes")).json()["codes"]
        assert {entry["username"] for entry in codes} == {"ada", "zoe.1"}
        secret = re.search(r'class="key">([^<]+)', done)[1].replace(" ", "")  # type: ignore[index]
        world.says("step_up")
        zoe = SeedUser("zoe.1", "Zoe", "long enough")
        step = await browser.sign_in(zoe)
        otp = (await browser.http.get(step.headers["location"])).text
        assert "code" in query(await browser.submit(otp, code=pyotp.TOTP(secret).now()))

    play(scenario)


def test_pages_carry_a_strict_policy(play: Callable[..., None]) -> None:
    async def scenario(_: World, browser: Browser) -> None:
        started = await browser.start()
        page = await browser.http.get(started.headers["location"])
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert f"script-src 'self' {SIDECAR};" in policy
        assert f"form-action 'self' {APP};" in policy
        assert "unsafe" not in policy
        assert 'data-secret="positions"' in page.text
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<style|style=|<script(?![^>]*src=)| on\w+=", page.text)
        metadata = (await browser.http.get("/.well-known/openid-configuration")).json()
        assert metadata["issuer"] == IDP
        assert metadata["backchannel_logout_session_supported"] is True

    play(scenario)


def test_the_application_signs_in_shows_the_profile_and_hears_of_the_end(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        to_idp = httpx.ASGITransport(app=world.app)
        bank = create_app(world.settings, transport=to_idp)
        visitor = httpx.AsyncClient(transport=httpx.ASGITransport(app=bank), base_url=APP)
        away = await visitor.get("/login", params={"layout": "single"})
        started = await browser.http.get(away.headers["location"])
        page = (await browser.http.get(started.headers["location"])).text
        back = await browser.submit(page, username="ada", password=ADA.password)
        assert (await visitor.get(back.headers["location"])).headers["location"] == "/"
        account = (await visitor.get("/")).text
        assert "Ada Lovelace" in account
        assert "3 samples" in account
        assert (await visitor.get("/session/alive")).json() == {"alive": True}
        await world.revoke(browser.http)
        await world.app.state.services.settled()
        token = world.logout_tokens[0]
        assert (await visitor.post("/backchannel-logout", data={"logout_token": token[:-3] + "AAA"})).status_code == 400
        assert (await visitor.post("/backchannel-logout", data={"logout_token": token})).status_code == 200
        assert (await visitor.post("/backchannel-logout", data={"logout_token": token})).status_code == 400
        assert (await visitor.get("/session/alive")).json() == {"alive": False, "reason": "security"}
        assert "signed out by security" in (await visitor.get("/")).text
        await visitor.aclose()

    play(scenario)


def test_settings_survive_the_file_and_refuse_unknown_keys(tmp_path: Path) -> None:
    settings = DemoSettings(
        idp_url=IDP,
        app_url=APP,
        sidecar_url=SIDECAR,
        db_path="idp.db",
        site_key="site",
        assertion_key_path="a.pem",
        oidc_key_path="o.pem",
        clients=(demo_client(APP, secret="s"),),
        users=(ADA,),
    )
    file = tmp_path / "settings.json"
    save_settings(settings, file)
    assert file.stat().st_mode & 0o077 == 0
    assert load_settings(file) == settings
    file.write_text(file.read_text().replace('"fail_mode"', '"fail_mod"'))
    with pytest.raises(ValueError, match="fail_mod"):
        load_settings(file)
    with pytest.raises(ValueError, match="scheme, host and port"):
        replace(settings, idp_url=IDP + "/")


def test_unknown_user_costs_a_hash_too(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    matches = users._matches
    monkeypatch.setattr(users, "_matches", lambda stored, given: checked.append(stored) or matches(stored, given))

    async def scenario(_: World, browser: Browser) -> None:
        await browser.submit(await browser.login_page(), username="nobody", password="whatever it is")

    play(scenario)
    assert len(checked) == 1
