"""Asking whether typing may be looked at, once after login; and the page where a person sees, changes and takes away."""

import json
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from idp_adapters.demo import consents
from idp_adapters.demo.hook import Act, SidecarSilent
from idp_adapters.demo.logins import Login
from idp_adapters.demo.services import BROWSER_COOKIE, Services
from idp_adapters.demo.sessions import Session
from idp_adapters.demo.web import FormError, read_form, see_other

PAGE = "/account/typing"
# What the page says when something was done, by the word that its address carries.
DONE = {
    "agree": "You agreed. Thank you.",
    "withdraw": "You withdrew your agreement. What was measured has been erased.",
    "refuse": "Your typing is not looked at.",
    "pause": "Paused. Nothing is looked at until you resume.",
    "resume": "Resumed.",
    "forget": "Forgotten. The key to everything that was kept about your typing is destroyed.",
}
SILENT = "The service that compares typing does not answer right now. "
# What it means when the sidecar does not answer: an answer is kept here all the same, the rest has not happened.
FAILED = {
    "agree": SILENT + "Your agreement is kept here and passed on as soon as it answers.",
    "withdraw": SILENT + "Your withdrawal is kept here: it is passed on as soon as it answers, and what was measured is"
    " erased then.",
    "refuse": SILENT + "Your answer is kept here and passed on as soon as it answers.",
    "pause": SILENT + "Nothing was paused. Please try again in a moment.",
    "resume": SILENT + "It is still paused. Please try again in a moment.",
    "forget": SILENT + "Nothing was forgotten yet. Please try again in a moment.",
    "export": SILENT + "Please try the download again in a moment.",
    "show": SILENT + "Signing in works without it. What is kept and whether it is paused cannot be shown.",
}


class ConsentRoutes:
    """Handlers of the question and of the page about typing."""

    def __init__(self, services: Services) -> None:
        self._s = services

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter()
        router.add_api_route("/consent", self.ask, methods=["GET"], response_model=None)
        router.add_api_route("/consent", self.answer, methods=["POST"], response_model=None)
        router.add_api_route(PAGE, self.show, methods=["GET"], response_model=None)
        router.add_api_route(PAGE + "/{act}", self.act, methods=["POST"], response_model=None)
        return router

    async def ask(self, request: Request) -> Response:
        """The question, between a login and the application. Whoever walks past it is signed in all the same."""
        session, login = self._just_signed_in(request, request.query_params.get("txn"))
        values = _text() | {"txn": login.txn, "has_factor": self._factor(session)}
        return self._s.form(request, "consent.html", client=self._s.settings.client(login.client_id), **values)

    async def answer(self, request: Request) -> Response:
        """Keep the answer and go on to the application; the sidecar is told meanwhile, and nobody waits for it."""
        s, form = self._s, await read_form(request)
        s.csrf.check(s.browser(request), form.get("csrf"))
        session, login = self._just_signed_in(request, form.get("txn"))
        if form.get("answer") not in ("agree", "refuse"):
            return see_other(f"/consent?{urlencode({'txn': login.txn})}")
        s.consents.keep(session.sub, given=form["answer"] == "agree", confirmed=session.acr == "2")
        consents.tell_later(s, session.sub)
        return see_other(f"/login?{urlencode({'txn': login.txn})}")

    async def show(self, request: Request) -> Response:
        """Where the person stands, and what is kept."""
        session = self._s.session(request)
        if session is None:
            return self._s.sign_in_first()
        return await self._page(request, session, notice=DONE.get(request.query_params.get("done", ""), ""))

    async def act(self, act: str, request: Request) -> Response:
        """Do what a button of that page says. Nothing here can fail a login: at worst the page says what did not happen."""
        s, form = self._s, await read_form(request)
        s.csrf.check(s.browser(request), form.get("csrf"))
        session = s.session(request)
        if session is None:
            return s.sign_in_first()
        acts: dict[str, Callable[[Session], Coroutine[Any, Any, Response | None]]] = {
            "agree": lambda session: self._stand(session, given=True),
            "withdraw": lambda session: self._stand(session, given=False),
            "refuse": lambda session: self._stand(session, given=False),
            "pause": lambda session: self._call("pause", session),
            "resume": lambda session: self._call("resume", session),
            "forget": self._forget,
            "export": self._export,
        }
        if act not in acts:
            raise FormError(404, "There is no such button.")
        try:
            made = await acts[act](session)
        except SidecarSilent:
            return await self._page(request, session, error=FAILED[act], status=503)
        return made or see_other(f"{PAGE}?{urlencode({'done': act})}")

    async def _stand(self, session: Session, *, given: bool) -> None:
        self._s.consents.keep(session.sub, given=given, confirmed=session.acr == "2")
        await consents.tell(self._s, session.sub)

    async def _call(self, act: Act, session: Session) -> None:
        await self._s.hook.subject(act, session.sub)

    async def _forget(self, session: Session) -> None:
        """Who is forgotten has not agreed any more, or the next login would begin to learn again."""
        await self._s.hook.subject("forget", session.sub)
        self._s.consents.keep(session.sub, given=False, told=True)

    async def _export(self, session: Session) -> Response:
        found = await self._s.hook.subject("export", session.sub)
        content = json.dumps(found or {"kept": "nothing"}, ensure_ascii=False, indent=2)
        name = {"Content-Disposition": 'attachment; filename="my-typing.json"'}
        return Response(content, media_type="application/json", headers=name)

    async def _page(
        self, request: Request, session: Session, *, notice: str = "", error: str = "", status: int = 200
    ) -> Response:
        s = self._s
        try:
            kept = await s.hook.subject("show", session.sub) if not error else {}
        except SidecarSilent:
            kept, error = {}, FAILED["show"]
        answer = s.consents.of(session.sub)
        profiles = kept.get("profiles")
        values: dict[str, Any] = _text() | {
            "standing": consents.standing(answer, kept),
            "profiles": profiles if isinstance(profiles, list) else [],
            "known": not error,
            "untold": answer is not None and not answer.told,
            "has_factor": self._factor(session),
            "notice": notice,
        }
        return s.form(request, "typing.html", status=status, error=error, **values)

    def _just_signed_in(self, request: Request, txn: str | None) -> tuple[Session, Login]:
        """The session that this login made, and the login. Raises FormError."""
        session = self._s.session(request)
        login = self._s.logins.get(txn or "", request.cookies.get(BROWSER_COOKIE))
        if session is None or login is None or login.stage != "done" or login.sid != session.sid:
            raise FormError(400, "This page was open for too long. You are signed in; go on to the application.")
        return session, login

    def _factor(self, session: Session) -> bool:
        user = self._s.users.get(session.sub)
        return user is not None and user.totp_secret is not None


def _text() -> dict[str, Any]:
    """What the text about typing fills in."""
    return {"samples_days": consents.SAMPLES_DAYS, "decisions_days": consents.DECISIONS_DAYS}
