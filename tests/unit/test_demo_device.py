"""The demo provider and the cookie by which the sidecar knows a browser again (SCO4)."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.provider import ADA, Browser, World, answer

VALUE = "eyJh.eyJq.c2ln"


def says(world: World, action: str, cookie: Any) -> None:
    found = answer(action)
    found["context"]["device_cookie"] = cookie
    world.reply = lambda: httpx.Response(200, json=found)


def test_sco4_the_cookie_is_set_sent_back_and_named_with_a_wrong_password(play: Callable[..., None]) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        says(world, "step_up", {"value": VALUE, "max_age": 3600})
        page = await browser.login_page()
        response = await browser.submit(page, username="ada", password=ADA.password)
        cookie = next(line for line in response.headers.get_list("set-cookie") if "demo_idp_device" in line)
        for part in (VALUE, "HttpOnly", "Max-Age=3600", "Path=/", "SameSite=lax"):
            assert part in cookie
        await browser.sign_in()
        assert [call["context"]["device"] for call in world.told("evaluation")] == [None, VALUE]
        page = await browser.login_page(prompt="login")
        await browser.submit(page, username="ada", password="wrong")
        await browser.submit(page, username="nobody", password="wrong")
        events = [told for told in await browser.told("/v1/events") if told["type"] == "login_failed"]
        assert events == [{"type": "login_failed", "subject": {"id": ADA.sub}, "device": VALUE}]

    play(scenario)


@pytest.mark.parametrize(
    "cookie",
    [
        None,
        "x",
        {},
        {"value": "a; Domain=evil", "max_age": 5},
        {"value": "a\r\nx", "max_age": 5},
        {"value": VALUE, "max_age": True},
    ],
)
def test_sco4_what_is_no_cookie_is_not_set(play: Callable[..., None], cookie: Any) -> None:
    async def scenario(world: World, browser: Browser) -> None:
        says(world, "allow", cookie)
        response = await browser.submit(await browser.login_page(), username="ada", password=ADA.password)
        assert "demo_idp_device" not in str(response.headers)
        await browser.submit(await browser.login_page(prompt="login"), username="ada", password="wrong")
        assert [told for told in await browser.told("/v1/events") if told["type"] == "login_failed"] == []

    play(scenario)
