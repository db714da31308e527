"""The pages of a login: username and password (on one page or two), then perhaps a second factor."""

from time import time
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from idp_adapters.demo import flow
from idp_adapters.demo.logins import Login
from idp_adapters.demo.services import BROWSER_COOKIE, DEVICE_COOKIE, Services
from idp_adapters.demo.settings import ClientSettings
from idp_adapters.demo.web import FormError, read_form, see_other

MAX_AGENT_CHARS = 512
MAX_COOKIE_CHARS = 1024
WRONG_PASSWORD = "That username and password do not belong together. Please try again."  # noqa: S105
WRONG_CODE = "That code is not right, or has been used already. Wait for the next one and try again."


class LoginRoutes:
    """Handlers of the login pages."""

    def __init__(self, services: Services) -> None:
        self._s = services

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter()
        for path, handler, methods in (
            ("/login", self.show, ["GET"]),
            ("/login", self.submit, ["POST"]),
            ("/login/cancel", self.cancel, ["POST"]),
            ("/otp", self.show_otp, ["GET"]),
            ("/otp", self.submit_otp, ["POST"]),
        ):
            router.add_api_route(path, handler, methods=methods, response_model=None)
        return router

    async def show(self, request: Request) -> Response:
        """The login page. ``layout=split`` asks for the username first; ``change`` goes back to it."""
        login = self._login(request, request.query_params.get("txn"))
        session = self._s.session(request)
        if login.stage == "done" and session and session.sid == login.sid:
            return self._s.provider.issue(login.request, session)  # the Back button, or a second click
        _still_open(login)
        layout = request.query_params.get("layout")
        if layout in ("single", "split") and layout != login.layout:
            self._s.logins.lay_out(login, "split" if layout == "split" else "single")
        elif "change" in request.query_params:
            self._s.logins.name(login, None, None)
        return self._page(request, self._login(request, login.txn), username=login.request.get("login_hint", ""))

    async def submit(self, request: Request) -> Response:
        """Take what was typed. A wrong password shows the same page of the same transaction again."""
        s, form = self._s, await read_form(request)
        login = self._posted(request, form)
        capture = flow.usable_capture(form.get("gaitkeeper_capture"))
        if login.asks_username and "password" not in form:
            if not form.get("username", "").strip():
                return self._page(request, login, error="Please type your username.")
            s.logins.name(login, form["username"].strip()[:64], capture)
            return see_other(f"/login?{urlencode({'txn': login.txn})}")
        username = login.username or form.get("username", "")
        user = await s.users.authenticate(username, form.get("password", ""))
        device = request.cookies.get(DEVICE_COOKIE, "")[:MAX_COOKIE_CHARS] or None
        if user is None:
            flow.password_refused(s, username, device)
            return self._page(request, login, username=username, error=WRONG_PASSWORD)
        agent = request.headers.get("user-agent", "")[:MAX_AGENT_CHARS]
        address = request.client.host if request.client else ""
        sent = flow.Submission(capture, address, agent, gpc=request.headers.get("sec-gpc") == "1", device=device)
        step, login, minted = await flow.password_accepted(s, login, self._client(login), user, sent)
        if step == "refuse":
            return self._refused(request, login)
        response = (
            self._finish(request, login, second_factor=False)
            if step == "finish"
            else see_other(f"/otp?{urlencode({'txn': login.txn})}")
        )
        if minted:
            s.know_again(response, *minted)
        return response

    async def cancel(self, request: Request) -> Response:
        """Back to the application without a session."""
        form = await read_form(request)
        login = self._posted(request, form, stages=("password", "otp", "closed"))
        flow.abandon(self._s, login)
        self._s.logins.move(login, "closed")
        return see_other(_refusal_url(login))

    async def show_otp(self, request: Request) -> Response:
        """The page for the second factor."""
        login = self._login(request, request.query_params.get("txn"))
        if login.stage == "password":
            return see_other(f"/login?{urlencode({'txn': login.txn})}")
        _still_open(login)
        return self._otp_page(request, login)

    async def submit_otp(self, request: Request) -> Response:
        """Check a code. Five wrong ones end the login."""
        s, form = self._s, await read_form(request)
        login = self._posted(request, form, stages=("otp",))
        user = s.users.get(login.sub or "")
        if user is None:
            raise FormError(400, "This account no longer exists.")
        if s.users.use_code(user, form.get("code", ""), time()):
            return self._finish(request, login, second_factor=True)
        if s.logins.wrong_code(login):
            return self._otp_page(request, login, error=WRONG_CODE)
        flow.fail(s, login)
        return self._refused(request, login)

    def _finish(self, request: Request, login: Login, *, second_factor: bool) -> Response:
        s = self._s
        cookie = flow.finish(s, login, s.session(request), second_factor=second_factor)
        session = s.sessions.by_cookie(cookie)
        if cookie is None or session is None:
            raise FormError(400, "This sign-in has ended in the meantime. Please start again.")
        s.logins.signed_in(s.browser(request), session.sub)
        never_asked = s.consents.of(session.sub) is None
        response: Response = (
            see_other(f"/consent?{urlencode({'txn': login.txn})}")
            if never_asked
            else s.provider.issue(login.request, session)
        )
        s.sign_in(response, cookie)
        return response

    def _login(self, request: Request, txn: str | None) -> Login:
        login = self._s.logins.get(txn or "", request.cookies.get(BROWSER_COOKIE))
        if login is None:
            raise FormError(400, "This sign-in was open for too long, or began in another browser. Please start again.")
        return login

    def _posted(self, request: Request, form: dict[str, str], stages: tuple[str, ...] = ("password", "otp")) -> Login:
        self._s.csrf.check(request.cookies.get(BROWSER_COOKIE), form.get("csrf"))
        login = self._login(request, form.get("txn"))
        if login.stage not in stages:
            raise FormError(400, "This sign-in has ended already. Please start again.")
        return login

    def _client(self, login: Login) -> ClientSettings:
        client = self._s.settings.client(login.client_id)
        if client is None:
            raise FormError(400, "This application is not known here any more.")
        return client

    def _page(self, request: Request, login: Login, *, username: str = "", error: str = "") -> HTMLResponse:
        client = self._client(login)
        step = "both" if login.layout == "single" else "username" if login.asks_username else "password"
        shown = login.username or username
        listens = flow.listens(self._s, self._s.browser(request))
        values: dict[str, Any] = {"step": step, "client": client, "username": shown, "error": error, "listens": listens}
        return self._render("login.html", request, login, **values)

    def _otp_page(self, request: Request, login: Login, *, error: str = "") -> HTMLResponse:
        user = self._s.users.get(login.sub or "")
        shown = user.username if user else ""
        return self._render("otp.html", request, login, client=self._client(login), username=shown, error=error)

    def _refused(self, request: Request, login: Login) -> HTMLResponse:
        """One neutral page for every refusal: the reason would tell an impostor what to do better."""
        closed = login.stage != "password"
        return self._render("refused.html", request, login, status=403, client=self._client(login), final=closed)

    def _render(
        self, template: str, request: Request, login: Login, *, status: int = 200, **values: Any
    ) -> HTMLResponse:
        s = self._s
        csrf = s.csrf.token(s.browser(request))
        return s.pages.render(template, status, login=login, csrf=csrf, settings=s.settings, **values)


def _still_open(login: Login) -> None:
    if login.stage in ("done", "closed"):
        raise FormError(400, "This sign-in has ended already. Please start again.")


def _refusal_url(login: Login) -> str:
    uri = login.request["redirect_uri"]
    answer = {"error": "access_denied"}
    if login.request.get("state"):
        answer["state"] = login.request["state"]
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(answer)}"
