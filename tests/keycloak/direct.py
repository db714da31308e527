"""Logins by plain HTTP requests, for whatever needs no browser: many at once, and to the millisecond."""

import html
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
from stage import APP, PASSWORD, USERNAME, WHO, Stage, code, typed_rows

from sidecar.rehearsal.payload import hidden_field


@dataclass(frozen=True, slots=True)
class Page:
    """Where a request ended, and how long it took in seconds."""

    url: str
    status: int
    text: str
    seconds: float

    @property
    def name(self) -> str:
        """Return app, or Keycloak's id of the page."""
        if self.url.startswith(APP):
            return "app"
        found = re.search(r'data-page-id="([^"]+)"', self.text)
        return found[1] if found else f"HTTP {self.status}"

    @property
    def action(self) -> str:
        """Where the page's form goes."""
        found = re.search(r'<form[^>]*\baction="([^"]+)"', self.text)
        assert found, f"{self.name} has no form"
        return html.unescape(found[1])


def http() -> httpx.Client:
    return httpx.Client(trust_env=False, timeout=30)


@dataclass
class Direct:
    """One browser's cookies, without a browser."""

    stage: Stage
    http: httpx.Client = field(default_factory=http)

    def __enter__(self) -> "Direct":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def open(self, client: str = "app", **more: str) -> Page:
        """Ask for a login as an application does."""
        query = {"client_id": client, "redirect_uri": APP, "response_type": "code", "scope": "openid"} | more
        return self.send("GET", f"{self.stage.issuer}/protocol/openid-connect/auth?{urlencode(query)}")

    def sign_in(self, page: Page, username: str = USERNAME, *, typed: bool = False, who: int = WHO) -> Page:
        """Post the login form; ``typed``: as the account's owner types (or ``who`` else), without it there is no capture."""
        form = {"username": username, "password": PASSWORD}
        return self.send("POST", page.action, data=form | ({"gaitkeeper_capture": self.typing(who)} if typed else {}))

    def typing(self, who: int = WHO) -> str:
        """Return what the page would have put into the hidden field for somebody."""
        self.stage.logins += 1
        names, rows = typed_rows(who, self.stage.logins, USERNAME)
        return hidden_field(rows, names)

    def pass_otp(self, page: Page, otp: str = "") -> Page:
        return self.send("POST", page.action, data={"otp": otp or code()})

    def agree(self, page: Page) -> Page:
        """Give the consent that is asked for."""
        return self.send("POST", page.action, data={"gaitkeeper_choice": "given"})

    def refuse(self, page: Page) -> Page:
        """Refuse it."""
        return self.send("POST", page.action, data={"gaitkeeper_choice": "refused"})

    def impersonate(self, username: str) -> httpx.Response:
        """Become somebody, as the administrator's console does it."""
        user = self.stage.user_id(username)
        url = f"{self.stage.server.url}/admin/realms/{self.stage.name}/users/{user}/impersonation"
        return self.http.post(url, headers={"Authorization": f"Bearer {self.stage.api.token()}"})

    def send(self, method: str, url: str, **how: Any) -> Page:
        """Send and follow redirects, as far as the application."""
        began = time.monotonic()
        while True:
            for cookie in self.http.cookies.jar:
                cookie.secure = False  # Keycloak's are, on plain HTTP too; browsers make an exception for this machine
            answer = self.http.request(method, url, **how)
            url = str(answer.headers.get("location", "")) if answer.is_redirect else str(answer.url)
            if not answer.is_redirect or url.startswith(APP):
                return Page(url, answer.status_code, answer.text, time.monotonic() - began)
            method, how = "GET", {}


def log_in(stage: Stage, client: str = "app", username: str = USERNAME, *, typed: bool = False) -> Page:
    """Log in from nowhere."""
    with Direct(stage) as direct:
        return direct.sign_in(direct.open(client), username, typed=typed)
