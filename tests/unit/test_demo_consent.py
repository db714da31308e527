"""The demo provider asks for consent, tells the sidecar, and shows people where they stand (PRV1, PRV2)."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
from support.provider import ADA, APP, PLAIN, TOTP, Browser, World, answer, query

from idp_adapters.demo.app import create_app
from idp_adapters.demo.consents import DECISIONS_DAYS, SAMPLES_DAYS, TEXT_VERSION, Answer, Standing, standing
from idp_adapters.demo.settings import load_settings, save_settings
from sidecar.config import RetentionSettings

NEVER_ASKED = replace(ADA, username="nora", sub="sub-nora", consent=None)
PAGE = "/account/typing"
AGREED = Answer(True, TEXT_VERSION, 1_795_270_000.0, confirmed=True, told=True)


def forget_the_answer(world: World, sub: str = ADA.sub or "") -> None:
    """Make somebody a person who was never asked."""
    world.app.state.services.db.run("DELETE FROM consent WHERE sub = ?", sub)


def kept_answer(world: World, sub: str = ADA.sub or "") -> Answer | None:
    found: Answer | None = world.app.state.services.consents.of(sub)
    return found


async def consent_page(world: World, browser: Browser, *, factor: bool = True) -> str:
    """Sign in as somebody who was never asked, and stand before the question."""
    forget_the_answer(world)
    world.says("step_up" if factor else "allow")
    if factor:
        step = await browser.submit(await browser.otp_page(), code=pyotp.TOTP(TOTP).now())
    else:
        step = await browser.sign_in()
    assert step.headers["location"].startswith("/consent?txn=")
    return (await browser.http.get(step.headers["location"])).text


async def press(browser: Browser, act: str) -> httpx.Response:
    """Press a button of the page about typing."""
    page = (await browser.http.get(PAGE)).text
    assert f'action="{PAGE}/{act}"' in page, page
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)
    assert csrf
    return await browser.http.post(f"{PAGE}/{act}", data={"csrf": csrf[1]})


async def signed_up(browser: Browser, **typed: str) -> str:
    page = (await browser.http.get("/signup")).text
    values = {"username": "zoe", "name": "Zoe", "password": "long enough"} | typed
    return (await browser.submit(page, **values)).text


@pytest.mark.parametrize("ticked", [True, False])
def test_prv1_sign_up_asks_with_an_unticked_choice(play: Callable[..., None], ticked: bool) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        page = (await browser.http.get("/signup")).text
        assert re.search(r'<input type="checkbox" name="typing" value="agree">', page)
        assert f"{SAMPLES_DAYS} days" in page
        assert "second factor" in page
        again = await signed_up(browser, password="short", **({"typing": "agree"} if ticked else {}))
        assert ('value="agree" checked' in again) is ticked  # a correction must not undo a choice, nor make one
        await signed_up(browser, **({"typing": "agree"} if ticked else {}))
        zoe = world.app.state.services.users.named("zoe")
        at = world.app.state.services.consents.of(zoe.sub).at
        told = {
            "subject": {"id": zoe.sub},
            "given": ticked,
            "version": TEXT_VERSION,
            "second_factor": False,
            "answered_at": at,
        }
        assert await browser.told("/v1/subjects/consent") == [told]
        step = await browser.sign_in(replace(ADA, username="zoe", password="long enough"))
        assert "code" in query(step)  # was asked at sign-up: not asked again
        asked = world.told("evaluation")[0]["context"]
        assert asked["consent"] == {"given": ticked, "version": TEXT_VERSION, "answered_at": at}

    play(scenario)


def test_prv1_the_text_tells_the_sidecars_own_retention() -> None:
    defaults = RetentionSettings()
    assert (defaults.samples_days, defaults.decisions_days) == (SAMPLES_DAYS, DECISIONS_DAYS)


@pytest.mark.parametrize(("answered", "given"), [("agree", True), ("refuse", False)])
def test_prv1_who_was_never_asked_is_asked_once_after_login(
    play: Callable[..., None], answered: str, given: bool
) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        page = await consent_page(world, browser)
        assert "consent" not in world.told("evaluation")[0]["context"]  # nothing is said until it is known
        buttons = re.findall(r'<button class="([^"]+)" type="submit" name="answer" value="(\w+)"', page)
        assert {value for _, value in buttons} == {"agree", "refuse"}
        assert len({look for look, _ in buttons}) == 1
        assert "<script" not in page
        assert await browser.told("/v1/subjects/consent") == []
        done = await browser.submit(page, answer=answered)
        assert "code" in query(await browser.http.get(done.headers["location"]))
        at = kept_answer(world).at  # type: ignore[union-attr]
        told = {
            "subject": {"id": ADA.sub},
            "given": given,
            "version": TEXT_VERSION,
            "second_factor": True,
            "answered_at": at,
        }
        assert await browser.told("/v1/subjects/consent") == [told]
        world.says("allow")
        assert "code" in query(await browser.sign_in(prompt="login"))
        asked = world.told("evaluation")[1]["context"]
        assert asked["consent"] == {"given": given, "version": TEXT_VERSION, "answered_at": at}

    play(scenario)


def test_prv1_consent_without_a_second_factor_is_not_called_confirmed(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        await browser.submit(await consent_page(world, browser, factor=False), answer="agree")
        assert [told["second_factor"] for told in await browser.told("/v1/subjects/consent")] == [False]

    play(scenario)


def test_prv1_whoever_walks_past_the_question_is_signed_in_all_the_same(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        page = await consent_page(world, browser)
        assert "code" in query(await browser.start())
        again = await browser.submit(page, answer="whatever")
        assert again.headers["location"].startswith("/consent?")
        assert kept_answer(world) is None

    play(scenario)


def test_prv1_the_question_is_the_browsers_own(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        page = await consent_page(world, browser)
        forged = page.replace('name="csrf" value="', 'name="csrf" value="0')
        assert (await browser.submit(forged, answer="agree")).status_code == 400
        stranger = Browser(world)
        assert (await stranger.submit(page, answer="agree")).status_code == 400
        await stranger.http.aclose()
        assert kept_answer(world) is None

    play(scenario)


def test_prv1_a_silent_sidecar_is_told_later_and_delays_nobody(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp_adapters.demo.consents.BACKGROUND_PAUSES", (0.01,))

    async def scenario(world: World, browser: Browser) -> None:
        world.rights = lambda act: httpx.Response(503)
        done = await browser.submit(await consent_page(world, browser), answer="agree")
        assert "code" in query(await browser.http.get(done.headers["location"]))
        assert len(await browser.told("/v1/subjects/consent")) == 2
        assert not kept_answer(world).told  # type: ignore[union-attr]
        world.rights = lambda act: httpx.Response(200, json={"consent": "given", "confirmed": True})
        await browser.start(prompt="login")  # anybody's login is an occasion to try again
        assert len(await browser.told("/v1/subjects/consent")) == 3
        assert kept_answer(world).told  # type: ignore[union-attr]
        await browser.start(prompt="login")
        assert len(await browser.told("/v1/subjects/consent")) == 3

    play(scenario)


def test_prv1_an_older_answer_never_overtakes_a_newer_one(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agreed while the sidecar was away, withdrawn before it was back: only the withdrawal may reach it."""
    monkeypatch.setattr("idp_adapters.demo.consents.BACKGROUND_PAUSES", (0.2,))

    async def scenario(world: World, browser: Browser) -> None:
        page = await consent_page(world, browser)
        world.rights = lambda act: httpx.Response(503)
        await browser.submit(page, answer="agree")
        world.app.state.services.consents.keep(ADA.sub, given=False)
        world.rights = lambda act: httpx.Response(200, json={"consent": "refused"})
        assert [told["given"] for told in await browser.told("/v1/subjects/consent")][-1] is False
        assert kept_answer(world).told  # type: ignore[union-attr]

    play(scenario)


def test_prv1_second_factor_and_gpc_go_along(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        browser.http.headers["Sec-GPC"] = "1"
        await browser.sign_in()
        del browser.http.headers["Sec-GPC"]
        await browser.sign_in(PLAIN, prompt="login")
        asked = [call["context"] for call in world.told("evaluation")]
        assert [(one["second_factor"], one["gpc"]) for one in asked] == [(True, True), (False, False)]

    play(scenario)


@pytest.mark.parametrize("agreed", [True, False])
@pytest.mark.parametrize("sidecar", ["answers", "silent"])
def test_prv1_refusing_is_no_locked_door(play: Callable[..., None], agreed: bool, sidecar: str) -> None:
    """Even where the client turns people without a second factor away, and even when the sidecar is gone."""

    async def scenario(world: World, browser: Browser) -> None:
        world.app.state.services.consents.keep(PLAIN.sub, given=agreed)
        silent, asks = httpx.Response(503), httpx.Response(200, json=answer("step_up"))
        world.reply = lambda: silent if sidecar == "silent" else asks
        assert (await browser.sign_in(PLAIN)).status_code == (403 if agreed else 303)

    play(scenario, without_second_factor="deny")


def test_prv1_a_refusal_leads_to_the_ordinary_second_factor(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        world.app.state.services.consents.keep(ADA.sub, given=False)
        world.says("step_up")
        redirect = await browser.submit(await browser.otp_page(), code=pyotp.TOTP(TOTP).now())
        assert (await browser.claims(redirect))["acr"] == "2"

    play(scenario)


def test_prv1_the_page_listens_by_what_is_known_of_this_browser(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        consents = world.app.state.services.consents
        first = await browser.login_page()
        assert 'data-transport="form"' in first  # nobody is known here yet: no connection
        await browser.submit(first, username="ada", password=ADA.password)
        agreed = await browser.login_page(prompt="login")
        assert "gaitkeeper.js" in agreed
        assert "data-transport" not in agreed
        consents.keep(ADA.sub, given=False)
        assert "gaitkeeper.js" not in await browser.login_page(prompt="login")
        stranger = Browser(world)
        page = await stranger.login_page(layout="split")
        next_page = await stranger.submit(page, username="ada")
        # A name that somebody typed tells them nothing about its owner.
        assert 'data-transport="form"' in (await stranger.http.get(next_page.headers["location"])).text
        await stranger.http.aclose()

    play(scenario)


@pytest.mark.parametrize(
    ("answered", "kept", "expected"),
    [
        (None, {}, Standing("unknown")),
        (AGREED, {}, Standing("given", "21 November 2026", TEXT_VERSION)),
        (
            AGREED,
            {"consent": {"confirmed_by_second_factor": False, "paused_since": None}},
            Standing("given", "21 November 2026", TEXT_VERSION, waits=True),
        ),
        (AGREED, {"consent": {"paused_since": "2026-12-01T08:00:00+00:00"}}, Standing("paused", "1 December 2026")),
        (
            replace(AGREED, given=False),
            {"consent": {"paused_since": "2026-12-01T08:00:00+00:00"}},
            Standing("refused", "21 November 2026", TEXT_VERSION),
        ),
        (AGREED, {"consent": "nonsense"}, Standing("given", "21 November 2026", TEXT_VERSION)),
        (AGREED, {"consent": {"paused_since": "yesterday"}}, Standing("paused", "yesterday")),
    ],
)
def test_prv1_where_a_person_stands(answered: Answer | None, kept: dict[str, Any], expected: Standing) -> None:
    assert standing(answered, kept) == expected


def test_prv2_the_account_page_acts_through_signed_calls(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        await browser.sign_in()
        page = (await browser.http.get(PAGE)).text
        assert "Agreed" in page
        assert "3 samples" in page
        assert (await press(browser, "pause")).headers["location"] == f"{PAGE}?done=pause"
        paused = {"consent": {"paused_since": "2026-12-01T08:00:00+00:00"}}
        world.rights = lambda act: httpx.Response(200, json=paused)
        assert "Paused" in (await browser.http.get(f"{PAGE}?done=pause")).text
        await press(browser, "resume")
        world.rights = lambda act: httpx.Response(200, json={"profiles": []})
        await press(browser, "withdraw")
        page = (await browser.http.get(f"{PAGE}?done=withdraw")).text
        assert "Not agreed" in page
        assert f"{SAMPLES_DAYS} days" in page  # who may agree reads what to
        await press(browser, "agree")
        await press(browser, "forget")
        assert not kept_answer(world).given  # type: ignore[union-attr]
        acts = [path.rpartition("/")[2] for path, _ in world.calls if path.startswith("/v1/subjects/")]
        assert [act for act in acts if act != "show"] == ["pause", "resume", "consent", "consent", "forget"]
        told = [(body["given"], body["version"]) for body in world.told("/v1/subjects/consent")]
        assert told == [(False, TEXT_VERSION), (True, TEXT_VERSION)]

    play(scenario)


def test_prv2_the_export_is_a_download(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        await browser.sign_in()
        document = {"format": "gaitkeeper-subject-2", "samples": [{"timings_ms": [1.5] * 50}] * 2000}
        world.rights = lambda act: httpx.Response(200, json=document if act == "export" else {"profiles": []})
        download = await press(browser, "export")
        assert download.headers["content-disposition"] == 'attachment; filename="my-typing.json"'
        assert download.headers["cache-control"] == "no-store"
        assert json.loads(download.text) == document  # larger than any other answer may be
        gone = {"error": "not_found", "message": "nothing is kept about this person"}
        world.rights = lambda act: httpx.Response(404, json=gone)
        assert (await press(browser, "export")).json() == {"kept": "nothing"}

    play(scenario)


@pytest.mark.parametrize("act", ["withdraw", "pause", "forget", "export"])
@pytest.mark.parametrize("trouble", ["down", "refused"])
def test_prv2_a_silent_sidecar_is_said_plainly(play: Callable[..., None], act: str, trouble: str) -> None:
    def fails(_: str) -> httpx.Response:
        if trouble == "down":
            raise httpx.ConnectError("refused")
        return httpx.Response(401, json={"error": "token_invalid"})

    async def scenario(world: World, browser: Browser) -> None:
        await browser.sign_in()
        world.rights = fails
        shown = await press(browser, act)
        assert shown.status_code == 503
        assert 'role="alert"' in shown.text
        assert "does not answer" in shown.text
        # A withdrawal holds here at once and is told when it can be; nothing else counts as done.
        assert kept_answer(world).given is (act != "withdraw")  # type: ignore[union-attr]
        assert "code" in query(await browser.sign_in(prompt="login"))
        if act == "withdraw":
            assert world.told("evaluation")[1]["context"]["consent"]["given"] is False

    play(scenario)


def test_prv2_buttons_need_a_session_and_this_browsers_token(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        assert "sign in first" in (await browser.http.get(PAGE)).text
        await browser.sign_in()
        for token in ("", "0" * 64):
            assert (await browser.http.post(f"{PAGE}/forget", data={"csrf": token})).status_code == 400
        page = (await browser.http.get(PAGE)).text
        csrf = {"csrf": re.findall(r'name="csrf" value="([^"]+)"', page)[0]}
        assert (await browser.http.post(f"{PAGE}/show", data=csrf)).status_code == 404
        assert (await browser.http.get(f"{PAGE}/forget")).status_code == 405
        browser.http.cookies.delete("demo_idp_session")
        assert "sign in first" in (await browser.http.post(f"{PAGE}/forget", data=csrf)).text
        assert world.told("/v1/subjects/forget") == []

    play(scenario)


def test_prv2_a_deleted_account_leaves_no_answer(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        await browser.sign_in()
        page = (await browser.http.get("/account/delete")).text
        await browser.submit(page, password=ADA.password)
        db = world.app.state.services.db
        for table in ("consent", "visitor"):
            assert db.all(f"SELECT * FROM {table} WHERE sub = ?", ADA.sub) == []

    play(scenario)


def test_prv1_the_application_shows_where_its_user_stands(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        bank = create_app(world.settings, transport=httpx.ASGITransport(app=world.app))
        visitor = httpx.AsyncClient(transport=httpx.ASGITransport(app=bank), base_url=APP)
        away = await visitor.get("/login", params={"layout": "single"})
        started = await browser.http.get(away.headers["location"])
        page = (await browser.http.get(started.headers["location"])).text
        back = await browser.submit(page, username="ada", password=ADA.password)
        await visitor.get(back.headers["location"])
        assert "Agreed" in (await visitor.get("/")).text
        world.app.state.services.consents.keep(ADA.sub, given=False)
        world.rights = lambda act: httpx.Response(503)
        refused = (await visitor.get("/session/profile")).text
        assert "Not agreed" in refused
        assert "Not available right now" in refused
        await visitor.aclose()

    play(scenario)


def test_prv1_seeded_answers_survive_the_file_and_a_restart(play: Callable[..., None], tmp_path: Path) -> None:
    """A seeded consent is made once: a newer one to the real text must not be set back by a restart."""
    from idp_adapters.demo.seed import seed

    async def scenario(world: World, _: Browser) -> None:
        file = tmp_path / "settings.json"
        settings = replace(world.settings, users=(ADA, NEVER_ASKED))
        save_settings(settings, file)
        assert load_settings(file) == settings
        consents = world.app.state.services.consents
        consents.keep(ADA.sub, given=True)
        seed(settings)
        assert consents.of(ADA.sub).version == TEXT_VERSION
        assert consents.of(NEVER_ASKED.sub) is None

    play(scenario)
