"""The parts of the provider, put together once and handed to every route."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response

from idp_adapters.demo.consents import Consents
from idp_adapters.demo.db import Database
from idp_adapters.demo.hook import SidecarHook
from idp_adapters.demo.keys import ProviderKey, load_provider_key
from idp_adapters.demo.logins import Logins
from idp_adapters.demo.oidc import Provider
from idp_adapters.demo.sessions import LogoutSender, Session, Sessions
from idp_adapters.demo.settings import DemoSettings
from idp_adapters.demo.users import User, Users
from idp_adapters.demo.web import Csrf, Pages
from sidecar.tokens import load_signing_key

# Cookies on localhost are shared by every port, so the names must differ from those of the demo application.
BROWSER_COOKIE = "demo_idp_browser"
SESSION_COOKIE = "demo_idp_session"
DEVICE_COOKIE = "demo_idp_device"


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route of the provider may need."""

    settings: DemoSettings
    db: Database
    users: Users
    sessions: Sessions
    logins: Logins
    consents: Consents
    hook: SidecarHook
    logout: LogoutSender
    key: ProviderKey
    provider: Provider
    pages: Pages
    csrf: Csrf

    def session(self, request: Request) -> Session | None:
        """Who is signed in here in this browser."""
        return self.sessions.by_cookie(request.cookies.get(SESSION_COOKIE))

    def signed_in(self, request: Request) -> tuple[Session | None, User | None]:
        """The same, with the person."""
        session = self.session(request)
        return session, self.users.get(session.sub) if session else None

    def browser(self, request: Request) -> str:
        """The browser's own random name; a new one until ``remember`` has set the cookie."""
        return request.cookies.get(BROWSER_COOKIE) or secrets.token_urlsafe(24)

    def remember(self, response: Response, browser: str) -> None:
        """Keep the browser's name, which forms and transactions are tied to."""
        self._cookie(response, BROWSER_COOKIE, browser)

    def form(self, request: Request, template: str, *, status: int = 200, error: str = "", **values: Any) -> Response:
        """A page with a form of this browser's."""
        browser = self.browser(request)
        _, user = self.signed_in(request)
        page = self.pages.render(template, status, csrf=self.csrf.token(browser), error=error, user=user, **values)
        self.remember(page, browser)
        return page

    def sign_in_first(self) -> Response:
        """What somebody sees who is not signed in and would have to be."""
        return self.pages.message("Please sign in first", "You need to be signed in to do this.", links=[self.app])

    @property
    def app(self) -> tuple[str, str]:
        """The way back to the application, as a link."""
        return self.settings.app_url + "/", f"Back to {self.settings.app_client.name}"

    def sign_in(self, response: Response, cookie: str) -> None:
        """Hand the session to the browser."""
        self._cookie(response, SESSION_COOKIE, cookie)

    def know_again(self, response: Response, value: str, seconds: int) -> None:
        """Set the cookie by which the sidecar knows this browser again."""
        self._cookie(response, DEVICE_COOKIE, value, seconds)

    def end(self, session: Session, *, report: bool) -> None:
        """End a session and tell its applications; ``report`` also tells the sidecar that it was a logout."""
        self.logout.send(self.sessions.end(session))
        if report:
            self.hook.report_event("logout", session.sub, session.sid)

    async def settled(self) -> None:
        """Wait until nothing is being delivered any more."""
        await self.hook.drain()
        await self.logout.drain()

    async def aclose(self) -> None:
        """Release network and file."""
        await self.hook.aclose()
        await self.logout.aclose()
        self.db.close()

    def _cookie(self, response: Response, name: str, value: str, seconds: int | None = None) -> None:
        secure = self.settings.idp_url.startswith("https:")
        response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax", secure=secure, path="/")


def build_services(settings: DemoSettings, transport: httpx.AsyncBaseTransport | None = None) -> Services:
    """Open the database, read the keys and connect the parts. Raises OSError, TokenInvalid, ValueError."""
    db = Database(settings.db_path)
    key = load_provider_key(Path(settings.oidc_key_path).read_text())
    users, sessions = Users(db), Sessions(db)
    hook = SidecarHook(
        url=settings.sidecar_url,
        issuer=settings.assertion_issuer,
        audience=settings.assertion_audience,
        key=load_signing_key(Path(settings.assertion_key_path).read_text()),
        deadline_seconds=settings.deadline_ms / 1000,
        transport=transport,
    )
    return Services(
        settings=settings,
        db=db,
        users=users,
        sessions=sessions,
        logins=Logins(db),
        consents=Consents(db),
        hook=hook,
        logout=LogoutSender(settings, key, transport),
        key=key,
        provider=Provider(settings, db, users, sessions, key),
        pages=Pages(site="Demo Identity", mark="idp", app_url=settings.app_url, app_name=settings.app_client.name),
        csrf=Csrf(_csrf_secret(db)),
    )


def _csrf_secret(db: Database) -> str:
    """Made once and kept, so that a form that is open while the provider restarts still works."""
    db.run(
        "INSERT INTO secret (name, value) VALUES ('csrf', ?) ON CONFLICT DO NOTHING",
        secrets.token_urlsafe(32),
    )
    row = db.one("SELECT value FROM secret WHERE name = 'csrf'")
    return str(row["value"]) if row else ""
