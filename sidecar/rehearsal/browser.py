"""Play a script through a real login page in a real Chromium: page, widget, provider, sidecar, second factor.

The page is the demo provider's, or Keycloak's where a server is named.
"""

import asyncio
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp

from idp_adapters.demo.settings import SeedConsent
from sidecar.config import Settings, load_settings
from sidecar.demo.keycloak.launch import connected
from sidecar.demo.keycloak.layout import REALM, Shore
from sidecar.demo.launch import free_port, login_url, processes
from sidecar.demo.layout import TENANT, Layout, Person, write
from sidecar.demo.seeding import enroll
from sidecar.domain.decisions import Action
from sidecar.errors import GaitkeeperError
from sidecar.evaluation.synthetic import Row, probe_of
from sidecar.main import Sidecar, build
from sidecar.rehearsal import in_process, keyboard
from sidecar.rehearsal.script import PASSWORD, Login, Script
from sidecar.wire import HiddenField, KeyClass, decode_hidden

LATE_MS = 40.0
DISTORTED_MS = 2.0
TOTP_STEP = 30
FROZEN = "\n[learning]\nfrozen = true\n"
ORIGIN = "rehearsal"  # of samples, and in place of the version of a text that nobody read
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

FILL = """([selector, text]) => { document.querySelector(selector).value = text; }"""


class BrowserMissing(GaitkeeperError):
    """No Chromium, or no Playwright to drive it."""

    code = "browser_missing"


@dataclass(frozen=True, slots=True)
class Played:
    """One login as it happened. ``achieved``: the rows that the page measured; ``late_ms``: worst delivery lag."""

    login: Login
    action: Action
    rule: str
    achieved: list[Row]
    late_ms: float

    @property
    def distorted(self) -> bool:
        """Whether the machine changed the timeline."""
        return self.late_ms > LATE_MS or _difference(self.login.rows, self.achieved) > DISTORTED_MS


@dataclass(frozen=True, slots=True)
class LoginPage:
    """A provider's pages: where they are, and what is filled in and clicked for the second factor."""

    tenant: str
    start: str
    app: str
    posted: str  # the end of the path that the login form is sent to
    is_form: Callable[[str], bool]  # whether a URL still is the page with the login form
    code: str = "#code"
    submit: str = "button[type=submit]"


def play(script: Script, progress: Callable[[], None], keycloak: Path | None = None) -> list[Played]:
    """Enroll in process, start a demo, play every login. Raises BrowserMissing, DemoFailed.

    ``keycloak``: directory of a server with our jar, to be used in place of the demo provider.
    """
    state = Path(tempfile.mkdtemp(prefix="gaitkeeper-rehearsal-"))
    people = tuple(_person(subject) for subject in script.enrolled)
    provider = _demo(state, people) if keycloak is None else _keycloak(state, people, keycloak)
    try:
        with provider as (settings, login_page):
            sidecar = build(settings)
            try:
                asyncio.run(_enroll(sidecar, login_page.tenant, script))
                with chromium() as browser:
                    stage = Stage(login_page, browser, sidecar, {person.username: person for person in people})
                    return list(_played(stage, script, progress))
            finally:
                sidecar.close()
    finally:
        shutil.rmtree(state)


def _person(subject: str) -> Person:
    consent, secret = SeedConsent(True, ORIGIN), pyotp.random_base32()
    return Person(subject, subject, PASSWORD, f"rehearsal-{subject}", totp_secret=secret, consent=consent)


@contextmanager
def _demo(state: Path, people: tuple[Person, ...]) -> Iterator[tuple[Settings, LoginPage]]:
    layout = Layout(state, free_port())
    settings = write(layout, people, extra=FROZEN)
    with processes(layout):
        start, app = login_url(layout), layout.app_url
        yield (
            settings,
            LoginPage(TENANT, start, app, "/login", lambda url: "/login?" in url and not url.startswith(app)),
        )


@contextmanager
def _keycloak(state: Path, people: tuple[Person, ...], home: Path) -> Iterator[tuple[Settings, LoginPage]]:
    layout = Shore(state, free_port(4))
    with connected(layout, home, people, FROZEN):
        yield (
            load_settings(layout.sidecar_settings),
            LoginPage(
                REALM,
                login_url(layout),
                layout.app_url,
                "/login-actions/authenticate",
                lambda url: "/protocol/openid-connect/auth" in url,
                code="#otp",
                submit="#kc-login",
            ),
        )


def compare(script: Script, played: Sequence[Played]) -> dict[str, object]:
    """Replay the same script in process and say how far the decisions agree, and which runs were distorted."""
    reference = asyncio.run(in_process.play(script, lambda: None))
    equal = sum(item.action is action for item, (_, action) in zip(played, reference, strict=True))
    return {
        "equal_to_in_process": equal / len(played),
        "distorted_runs": sum(item.distorted for item in played),
        "worst_late_ms": round(max(item.late_ms for item in played), 1),
        "timelines": [
            {
                "victim": item.login.victim,
                "actor": item.login.actor,
                "kind": item.login.kind,
                "action": item.action,
                "in_process": action,
                "rule": item.rule,
                "achieved": [[down, None if math.isnan(hold) else hold] for down, hold in item.achieved],
                "late_ms": round(item.late_ms, 1),
                "distorted": item.distorted,
            }
            for item, (_, action) in zip(played, reference, strict=True)
        ],
    }


@contextmanager
def chromium(headless: bool = True) -> Iterator[Any]:
    """Run the system's Chromium. Raises BrowserMissing."""
    executable = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if executable is None:
        raise BrowserMissing("install Chromium (Debian: apt install chromium), or use --in-process")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise BrowserMissing("install gaitkeeper[browser], or use --in-process") from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, headless=headless, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Stage:
    """The running demo with a browser in front of it."""

    def __init__(self, where: LoginPage, browser: Any, sidecar: Sidecar, people: Mapping[str, Person]) -> None:
        self._where = where
        self._browser = browser
        self._sidecar = sidecar
        self._people = people
        self._last_step: dict[str, int] = {}
        self._reader = ThreadPoolExecutor(1)

    def act(self, login: Login) -> Played:
        """Play one login in a fresh browser profile."""
        context = self._browser.new_context()
        try:
            page = context.new_page()
            sent: list[HiddenField] = []
            page.on("request", lambda request: _note(request, sent, self._where.posted))
            page.goto(self._where.start)
            page.evaluate(FILL, ["#username", login.victim])
            page.focus("#password")
            late = keyboard.play(context.new_cdp_session(page), PASSWORD, login.rows)
            page.wait_for_url(lambda url: not self._where.is_form(url))
            # On a thread of its own: this one already has the browser's event loop.
            recent = self._sidecar.decisions.recent((self._where.tenant,), 1)
            decision = self._reader.submit(asyncio.run, recent).result()[0]
            answer = decision.body["answer"]
            if login.kind == "genuine" and answer["action"] == Action.STEP_UP:
                self._second_factor(page, login.victim)
        finally:
            context.close()
        return Played(login, Action(answer["action"]), answer["rule_id"], _rows(sent), late)

    def _second_factor(self, page: Any, subject: str) -> None:
        """Pass the second factor with a code of a time step not used before, as the provider insists."""
        secret = str(self._people[subject].totp_secret)
        step = max(int(time.time()) // TOTP_STEP, self._last_step.get(subject, 0) + 1)
        while step > int(time.time()) // TOTP_STEP + 1:
            time.sleep(0.5)
        self._last_step[subject] = step
        page.fill(self._where.code, pyotp.TOTP(secret).at(step * TOTP_STEP))
        page.click(self._where.submit)
        page.wait_for_url(f"{self._where.app}/**")


async def _enroll(sidecar: Sidecar, tenant: str, script: Script) -> None:
    for subject, enrolled in script.enrolled.items():
        probes = [probe_of(rows) for rows in enrolled]
        await enroll(sidecar, tenant, f"rehearsal-{subject}", probes, origin=ORIGIN)


def _played(stage: Stage, script: Script, progress: Callable[[], None]) -> Iterator[Played]:
    for login in script.logins:
        yield stage.act(login)
        progress()


def _note(request: Any, sent: list[HiddenField], posted: str) -> None:
    if request.method == "POST" and urlsplit(request.url).path.endswith(posted):
        values = parse_qs(request.post_data or "").get("gaitkeeper_capture", [""])
        if values[-1]:
            sent.append(decode_hidden(values[-1].encode()))


def _rows(sent: Sequence[HiddenField]) -> list[Row]:
    """Return what the page measured in the password field, from the form's hidden field."""
    rows: list[Row] = []
    for batch in sent[-1].b if sent else ():
        at = batch.t
        for field, kind, step, hold in zip(batch.k.f, batch.k.c, batch.k.d, batch.k.h, strict=True):
            at += step
            if batch.f[field] == "password":
                rows.append((at / 10, float("nan") if kind == KeyClass.SUBMIT or hold < 0 else hold / 10))
    first = rows[0][0] if rows else 0.0
    return [(round(down - first, 1), hold) for down, hold in rows]


def _difference(planned: Sequence[Row], achieved: Sequence[Row]) -> float:
    """Return the largest difference in ms between two timelines; infinite when they have other lengths."""
    if len(planned) != len(achieved):
        return float("inf")
    gaps = [abs(one[0] - other[0]) for one, other in zip(planned, achieved, strict=True)]
    gaps += [abs(one[1] - other[1]) for one, other in zip(planned, achieved, strict=True) if not math.isnan(one[1])]
    return max(gaps, default=0.0)
