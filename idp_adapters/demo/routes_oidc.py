"""The protocol endpoints: discovery, keys, authorize, token, userinfo and end_session."""

import time
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error
from authlib.oidc.core.errors import LoginRequiredError
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp_adapters.demo import flow
from idp_adapters.demo.consents import standing
from idp_adapters.demo.hook import SidecarSilent
from idp_adapters.demo.logins import Layout
from idp_adapters.demo.oidc import ProtocolRequest, claims_of, discovery
from idp_adapters.demo.services import SESSION_COOKIE, Services
from idp_adapters.demo.sessions import Session
from idp_adapters.demo.web import read_form, read_pairs, see_other


class OidcRoutes:
    """Handlers of the protocol endpoints."""

    def __init__(self, services: Services) -> None:
        self._s = services

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(default_response_class=JSONResponse)
        for path, handler, methods in (
            ("/.well-known/openid-configuration", self.metadata, ["GET"]),
            ("/jwks", self.jwks, ["GET"]),
            ("/authorize", self.authorize, ["GET", "POST"]),
            ("/token", self.token, ["POST"]),
            ("/userinfo", self.userinfo, ["GET", "POST"]),
            ("/account/profile", self.profile, ["GET"]),
            ("/logout", self.ask_logout, ["GET"]),
            ("/logout", self.logout, ["POST"]),
        ):
            router.add_api_route(path, handler, methods=methods, response_model=None)
        return router

    async def metadata(self) -> dict[str, Any]:
        """The discovery document."""
        return discovery(self._s.settings, self._s.key)

    async def jwks(self) -> dict[str, Any]:
        """Public keys."""
        return self._s.key.public_set()

    async def authorize(self, request: Request) -> Response:
        """Start a login, or answer at once when the browser's session will do."""
        pairs = request.query_params.multi_items() if request.method == "GET" else await read_pairs(request)
        s, call = self._s, ProtocolRequest(request.method, str(request.url), pairs)
        parameters = call.payload.data
        session = self._fresh_enough(s.session(request), parameters)
        try:
            grant: Any = s.provider.validated(call, session)
        except OAuth2Error as error:
            if getattr(error, "redirect_uri", None):
                return _response(s.provider.handle_error_response(call, error))
            return s.pages.message("This sign-in link does not work", error.description or str(error.error), status=400)
        if session is None:
            return self._begin(request, parameters, step_up=None)
        if not self._second_factor_missing(session, parameters):
            return s.provider.issue(parameters, session)
        if parameters.get("prompt") == "none":
            refused = LoginRequiredError(redirect_uri=grant.redirect_uri, state=parameters.get("state"))
            return _response(s.provider.handle_error_response(call, refused))
        return self._begin(request, parameters, step_up=session)

    def _fresh_enough(self, session: Session | None, parameters: dict[str, str]) -> Session | None:
        """The session, unless the request insists on a new login."""
        if session is None or self._s.users.get(session.sub) is None:
            return None
        if {"login", "select_account"} & set(parameters.get("prompt", "").split()):
            return None
        age = parameters.get("max_age", "")
        return None if age.isdecimal() and time.time() - session.auth_time > int(age) else session

    def _second_factor_missing(self, session: Session, parameters: dict[str, str]) -> bool:
        client, user = self._s.settings.client(parameters["client_id"]), self._s.users.get(session.sub)
        floor = client is not None and client.always_second_factor
        wished = flow.wants_second_factor(parameters) and user is not None and user.totp_secret is not None
        return session.acr == "1" and (floor or wished)

    def _begin(self, request: Request, parameters: dict[str, str], step_up: Session | None) -> Response:
        s = self._s
        flow.sweep(s)
        client, user = (
            s.settings.client(parameters["client_id"]),
            s.users.get(step_up.sub) if step_up else None,
        )
        if step_up and user and user.totp_secret is None:
            text = "This application asks for a second factor, and your account has none."
            return s.pages.message("A second factor is needed", text, status=403)
        split = parameters.get("layout") == "split" or (client is not None and client.username_first)
        layout: Layout = "split" if split else "single"
        browser = s.browser(request)
        txn = s.logins.begin(browser, parameters["client_id"], parameters, layout, step_up)
        response = see_other(f"/{'otp' if step_up else 'login'}?{urlencode({'txn': txn})}")
        s.remember(response, browser)
        return response

    async def token(self, request: Request) -> Response:
        """Exchange a code."""
        call = ProtocolRequest("POST", str(request.url), await read_pairs(request), dict(_title_case(request)))
        return _response(self._s.provider.create_token_response(call))

    async def userinfo(self, request: Request) -> Response:
        """Claims about the user an access token stands for."""
        session = self._bearer(request)
        user = self._s.users.get(session.sub) if session else None
        return JSONResponse(claims_of(user)) if user else _unauthorized()

    async def profile(self, request: Request) -> Response:
        """Whether this user agreed, how well the sidecar knows them, what it decided last: for the account page."""
        session = self._bearer(request)
        if session is None:
            return _unauthorized()
        kept: dict[str, Any] | None
        try:
            kept = await self._s.hook.subject("show", session.sub)
        except SidecarSilent:
            kept = None
        about = {
            "sub": session.sub,
            "profiles": None if kept is None else kept.get("profiles", []),
            "typing": asdict(standing(self._s.consents.of(session.sub), kept or {})),
            "decision": session.decision,
        }
        return JSONResponse(about)

    async def ask_logout(self, request: Request) -> Response:
        """End the session at once when the application proves it is this session's; otherwise ask."""
        s, query = self._s, request.query_params
        session, hint = s.session(request), s.key.hinted(query.get("id_token_hint", ""), s.settings.idp_url)
        target = self._logout_target(
            query.get("post_logout_redirect_uri"), query.get("state"), query.get("client_id"), hint
        )
        if session and not (hint and hint.get("sid") == session.sid):
            browser = s.browser(request)
            page = s.pages.render("logout.html", target=str(request.url.query), csrf=s.csrf.token(browser))
            s.remember(page, browser)
            return page
        if session:
            s.end(session, report=True)
        return self._signed_out(target)

    async def logout(self, request: Request) -> Response:
        """The user confirmed."""
        s, form, query = self._s, await read_form(request), request.query_params
        s.csrf.check(s.browser(request), form.get("csrf"))
        session = s.session(request)
        if session:
            s.end(session, report=True)
        hint = s.key.hinted(query.get("id_token_hint", ""), s.settings.idp_url)
        return self._signed_out(
            self._logout_target(query.get("post_logout_redirect_uri"), query.get("state"), query.get("client_id"), hint)
        )

    def _signed_out(self, target: str | None) -> Response:
        s = self._s
        back = (s.settings.app_url + "/", f"Back to {s.settings.app_client.name}")
        response: Response
        if target:
            response = see_other(target)
        else:
            response = s.pages.message("You are signed out", "Your session has ended on this device.", links=[back])
        response.delete_cookie(SESSION_COOKIE, path="/")
        return response

    def _logout_target(
        self, uri: str | None, state: str | None, client_id: str | None, hint: dict[str, Any] | None
    ) -> str | None:
        """Where to go afterwards: only to an address registered for the client that is named."""
        audience = hint["aud"] if hint else [client_id]
        named = audience if isinstance(audience, list) else [audience]
        clients = [self._s.settings.client(name) for name in named]
        if uri is None or not any(client and uri in client.post_logout_redirect_uris for client in clients):
            return None
        return uri if not state else f"{uri}{'&' if '?' in uri else '?'}{urlencode({'state': state})}"

    def _bearer(self, request: Request) -> Session | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self._s.provider.token_session(token) if scheme.lower() == "bearer" and token else None


def _response(made: object) -> Response:
    """What ``handle_response`` made, with its type back."""
    assert isinstance(made, Response)  # noqa: S101
    return made


def _unauthorized() -> Response:
    return JSONResponse({"error": "invalid_token"}, 401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def _title_case(request: Request) -> list[tuple[str, str]]:
    """Header names as Authlib looks them up."""
    return [(name.title(), value) for name, value in request.headers.items()]
