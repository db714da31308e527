"""Accounts: sign up, change the password, delete; and the demo phone, a stand-in for an authenticator app."""

from time import time
from typing import Any
from urllib.parse import urlencode

import pyotp
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp_adapters.demo import consents
from idp_adapters.demo.db import Database
from idp_adapters.demo.services import SESSION_COOKIE, Services
from idp_adapters.demo.users import TOTP_SECONDS, User, password_problem, problems
from idp_adapters.demo.web import read_form

EMPTY: dict[str, Any] = {
    "username": "",
    "name": "",
    "agreed": False,
    "samples_days": consents.SAMPLES_DAYS,
    "decisions_days": consents.DECISIONS_DAYS,
}


class AccountRoutes:
    """Handlers of the account pages."""

    def __init__(self, services: Services) -> None:
        self._s = services

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter()
        for path, handler, methods in (
            ("/", self.home, ["GET"]),
            ("/health", self.health, ["GET"]),
            ("/signup", self.show_signup, ["GET"]),
            ("/signup", self.signup, ["POST"]),
            ("/password", self.show_password, ["GET"]),
            ("/password", self.change_password, ["POST"]),
            ("/account/delete", self.show_delete, ["GET"]),
            ("/account/delete", self.delete, ["POST"]),
            ("/phone", self.phone, ["GET"]),
            ("/phone/codes", self.codes, ["GET"]),
        ):
            router.add_api_route(path, handler, methods=methods, response_model=None)
        return router

    async def home(self, request: Request) -> Response:
        """Where somebody lands who types the provider's address."""
        session = self._s.session(request)
        return self._s.pages.render("home.html", user=self._s.users.get(session.sub) if session else None)

    async def health(self) -> Response:
        """Whether the provider answers and its database does."""
        self._s.db.one("SELECT 1 AS alive")
        return JSONResponse({"status": "ok"})

    async def show_signup(self, request: Request) -> Response:
        """The form for a new account; ``txn`` leads back into the login it was opened from."""
        return self._s.form(request, "signup.html", txn=request.query_params.get("txn", ""), **EMPTY)

    async def signup(self, request: Request) -> Response:
        """Create the account and show the secret for the authenticator app, this once."""
        s, form = self._s, await read_form(request)
        s.csrf.check(s.browser(request), form.get("csrf"))
        username, name, password = (form.get(key, "") for key in ("username", "name", "password"))
        problem = problems(username, name, password)
        user = None if problem else await s.users.create(username, name, password)
        agreed = form.get("typing") == "agree"
        if user is None or user.totp_secret is None:
            problem = problem or "That username is taken."
            typed = EMPTY | {"username": username, "name": name, "agreed": agreed}
            return s.form(request, "signup.html", error=problem, txn=form.get("txn", ""), **typed)
        s.consents.keep(user.sub, given=agreed)  # unticked is an answer too: the question was there to be read
        consents.tell_later(s, user.sub)
        uri = pyotp.TOTP(user.totp_secret).provisioning_uri(name=user.username, issuer_name="Demo Identity")
        back = f"/login?{urlencode({'txn': form['txn']})}" if form.get("txn") else s.settings.app_url + "/"
        secret = " ".join(user.totp_secret[start : start + 4] for start in range(0, len(user.totp_secret), 4))
        return s.pages.render("enrolled.html", user=user, secret=secret, uri=uri, back=back)

    async def show_password(self, request: Request) -> Response:
        """The form for a new password."""
        session = self._s.session(request)
        return self._s.form(request, "password.html") if session else self._s.sign_in_first()

    async def change_password(self, request: Request) -> Response:
        """Change it, end the user's other sessions, and tell the sidecar, whose profile of it is now void."""
        s, form = self._s, await read_form(request)
        s.csrf.check(s.browser(request), form.get("csrf"))
        session, user = s.signed_in(request)
        if session is None or user is None:
            return s.sign_in_first()
        new = form.get("new_password", "")
        problem = password_problem(new)
        if new != form.get("repeated", ""):
            problem = "The two new passwords differ."
        elif await s.users.authenticate(user.username, form.get("password", "")) is None:
            problem = "Your current password is not right."
        if problem:
            return s.form(request, "password.html", error=problem)
        await s.users.set_password(user.sub, new)
        s.logins.close_unfinished(user.sub)
        for other in s.sessions.of_user(user.sub):
            if other.sid != session.sid:
                s.end(other, report=False)
        s.hook.report_event("password_changed", user.sub)
        return s.pages.message("Your password is changed", "Other devices have been signed out.", links=[s.app])

    async def show_delete(self, request: Request) -> Response:
        """Ask before deleting."""
        return self._s.form(request, "delete.html") if self._s.session(request) else self._s.sign_in_first()

    async def delete(self, request: Request) -> Response:
        """Delete the account: here, in the applications' sessions, and what the sidecar has learned."""
        s, form = self._s, await read_form(request)
        s.csrf.check(s.browser(request), form.get("csrf"))
        _, user = s.signed_in(request)
        if user is None:
            return s.sign_in_first()
        if await s.users.authenticate(user.username, form.get("password", "")) is None:
            return s.form(request, "delete.html", error="Your password is not right.")
        for session in s.sessions.of_user(user.sub):
            s.end(session, report=False)
        s.users.delete(user.sub)
        s.hook.report_event("account_deleted", user.sub)
        text = "Your account is deleted, and the sidecar has been told to forget how you type."
        response = s.pages.message("Goodbye", text, links=[s.app])
        response.delete_cookie(SESSION_COOKIE, path="/")
        return response

    async def phone(self) -> Response:
        """The demo phone."""
        return self._s.pages.render("phone.html", codes=current_codes(self._s), left=seconds_left())

    async def codes(self) -> Response:
        """The same as JSON, for the page's countdown and for scripts."""
        return JSONResponse({"seconds_left": seconds_left(), "codes": current_codes(self._s)})


def seconds_left() -> int:
    """How long the shown codes stay current."""
    return TOTP_SECONDS - int(time()) % TOTP_SECONDS


def current_codes(s: Services) -> list[dict[str, object]]:
    """Everybody's current code. A demo's convenience: a real provider could not and must not show this."""
    return [
        {
            "username": user.username,
            "name": user.name,
            "synthetic": user.synthetic,
            "code": pyotp.TOTP(user.totp_secret).at(int(time())),
            "used": _used(s.db, user),
        }
        for user in s.users.everybody()
        if user.totp_secret
    ]


def _used(db: Database, user: User) -> bool:
    """Whether the code shown has been spent; typing it again would be refused."""
    row = db.one("SELECT totp_step FROM user WHERE sub = ?", user.sub)
    return row is not None and row["totp_step"] >= int(time()) // TOTP_SECONDS
