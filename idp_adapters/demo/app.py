"""The demo application: a bank that signs in with the demo provider. It has never heard of Gaitkeeper.

What it shows about behaviour it gets from its identity provider, and what ends its sessions is ordinary
OpenID Connect back-channel logout.
"""

import secrets
import warnings
from typing import Any

import httpx
from authlib.deprecate import AuthlibDeprecationWarning
from fastapi import FastAPI
from joserfc.errors import JoseError
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp_adapters.demo.app_sessions import AppSession, AppSessions, LogoutTokenError, verify_logout_token
from idp_adapters.demo.settings import DemoSettings
from idp_adapters.demo.web import FormError, Pages, harden, policy, read_form, see_other

with warnings.catch_warnings():
    # Authlib says on import that it would rather use httpx2; nobody who starts the demo can act on that.
    warnings.filterwarnings("ignore", category=AuthlibDeprecationWarning, message=".*httpx2.*")
    from authlib.integrations.base_client import OAuthError
    from authlib.integrations.starlette_client import OAuth

APP_COOKIE = "demo_app_session"
SHORTFALL = "The sign-in could not be completed. Please try again."


def create_app(settings: DemoSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """The application as ASGI; ``transport`` replaces the network towards the provider."""
    app = FastAPI(title="Gaitkeeper demo application", docs_url=None, redoc_url=None, openapi_url=None)
    site = DemoApp(settings, transport)
    for path, handler, methods in (
        ("/", site.home, ["GET"]),
        ("/health", site.health, ["GET"]),
        ("/login", site.login, ["GET"]),
        ("/callback", site.callback, ["GET"]),
        ("/signed-out", site.signed_out, ["GET"]),
        ("/logout", site.logout, ["POST"]),
        ("/again", site.again, ["POST"]),
        ("/session/alive", site.alive, ["GET"]),
        ("/session/profile", site.profile, ["GET"]),
        ("/backchannel-logout", site.backchannel_logout, ["POST"]),
    ):
        app.add_api_route(path, handler, methods=methods, response_model=None)
    # A key of this process: sessions live in memory anyway. The cookie's name differs from the provider's,
    # because cookies on localhost are shared by every port.
    app.add_middleware(
        SessionMiddleware,
        secret_key=secrets.token_urlsafe(32),
        session_cookie=APP_COOKIE,
        max_age=None,
        same_site="lax",
        https_only=settings.app_url.startswith("https:"),
    )
    app.add_exception_handler(FormError, site.explain)
    app.add_exception_handler(404, site.nowhere)
    harden(app, policy(form=[settings.idp_url]))
    return app


class DemoApp:
    """Handlers of the application."""

    def __init__(self, settings: DemoSettings, transport: httpx.AsyncBaseTransport | None) -> None:
        self._settings, self._client, self._sessions = settings, settings.app_client, AppSessions()
        network: dict[str, Any] = {"trust_env": False, "timeout": 5}
        network |= {"transport": transport} if transport else {}
        self._network = network
        oauth = OAuth()
        oauth.register(
            "idp",
            client_id=self._client.client_id,
            client_secret=self._client.secret,
            server_metadata_url=f"{settings.provider}/.well-known/openid-configuration",
            client_kwargs={"scope": "openid profile", "code_challenge_method": "S256", **network},
        )
        self._idp: Any = oauth.idp
        self._pages = Pages(
            site=self._client.name,
            mark="app",
            app_url="",
            app_name=self._client.name,
            idp_url=None if settings.app_issuer else settings.idp_url,  # the demo provider's own pages
        )

    async def home(self, request: Request) -> Response:
        """The landing page, or the account once somebody is signed in."""
        session = self._session(request)
        if session is None:
            return self._pages.render("app_landing.html", hint=self._settings.login_hint or "", notice="")
        if session.ended:
            self._sessions.remove(request.session.pop("key", None))
            return self._pages.render("app_landing.html", hint="", notice="You have been signed out by security.")
        about = await self._about(session)
        return self._pages.render("app_account.html", session=session, claims=session.claims, **about)

    async def health(self) -> Response:
        """Whether the application answers."""
        return JSONResponse({"status": "ok"})

    async def login(self, request: Request) -> Response:
        """Off to the provider. Only parameters that mean something to it are passed on."""
        wanted = {"acr_values", "prompt", "max_age", "layout", "login_hint"}
        extra = {name: value for name, value in request.query_params.items() if name in wanted}
        try:
            response: Response = await self._idp.authorize_redirect(request, self._client.redirect_uris[0], **extra)
        except httpx.HTTPError:
            return self._pages.message("Demo Identity does not answer", "Please try again in a moment.", status=502)
        return response

    async def callback(self, request: Request) -> Response:
        """Back from the provider: the code becomes a session."""
        retry = [("/login", "Try again"), ("/", "Home")]
        try:
            token = await self._idp.authorize_access_token(request)
            claims = dict(token["userinfo"])
        except OAuthError as error:
            refused = error.error == "access_denied"
            text = "You were not signed in." if refused else SHORTFALL
            return self._pages.message("Not signed in", text, status=403 if refused else 400, links=retry)
        except (httpx.HTTPError, JoseError, KeyError, ValueError):
            return self._pages.message("Not signed in", SHORTFALL, status=502, links=retry)
        self._sessions.remove(request.session.get("key"))
        request.session.clear()
        request.session["key"] = self._sessions.add(AppSession(claims, token["id_token"], token["access_token"]))
        return see_other("/")

    async def logout(self, request: Request) -> Response:
        """Sign out here and at the provider."""
        return await self._leave(request, again=False)

    async def again(self, request: Request) -> Response:
        """Sign out and straight in again: one more sample for the profile."""
        return await self._leave(request, again=True)

    async def _leave(self, request: Request, *, again: bool) -> Response:
        form, session = await read_form(request), self._session(request)
        if session is None:
            return see_other("/login" if again else "/")
        if not secrets.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
            raise FormError(400, "This page was open for too long. Please try again.")
        username = str(session.claims.get("preferred_username", ""))
        self._sessions.remove(request.session.pop("key", None))
        request.session["again"] = again
        targets = self._client.post_logout_redirect_uris
        response: Response = await self._idp.logout_redirect(
            request,
            post_logout_redirect_uri=targets[0] if targets else None,
            id_token_hint=session.id_token,
            client_id=self._client.client_id,
            logout_hint=username,
        )
        return response

    async def signed_out(self, request: Request) -> Response:
        """Back from the provider's logout."""
        try:
            await self._idp.validate_logout_response(request)
        except OAuthError:
            return see_other("/")
        if request.session.pop("again", False):
            return see_other("/login")
        return self._pages.render("app_landing.html", hint="", notice="You have signed out.")

    async def alive(self, request: Request) -> Response:
        """Asked by the page every two seconds."""
        session = self._session(request)
        if session and not session.ended:
            return JSONResponse({"alive": True})
        return JSONResponse({"alive": False, "reason": "security" if session else "signed_out"})

    async def profile(self, request: Request) -> Response:
        """The part of the account page that changes as the profile learns."""
        session = self._session(request)
        if session is None or session.ended:
            return Response(status_code=401)
        return self._pages.render("app_profile.html", **await self._about(session))

    async def backchannel_logout(self, request: Request) -> Response:
        """The provider says that a session is over (OpenID Connect Back-Channel Logout)."""
        try:
            token = (await read_form(request)).get("logout_token", "")
            claims = await self._verified(token)
            self._sessions.obey(claims)
        except (LogoutTokenError, FormError):
            return JSONResponse({"error": "invalid_request"}, 400)
        except httpx.HTTPError:
            return JSONResponse({"error": "temporarily_unavailable"}, 503)
        return Response(status_code=200)

    async def explain(self, _: Request, refused: Exception) -> Response:
        """A refused form as a page."""
        if not isinstance(refused, FormError):
            raise refused
        return self._pages.message("Please try again", refused.message, status=refused.status, links=[("/", "Home")])

    async def nowhere(self, _: Request, __: Exception) -> Response:
        """An address that leads nowhere."""
        return self._pages.message("Nothing here", "This address leads nowhere.", status=404, links=[("/", "Home")])

    async def _verified(self, token: str) -> dict[str, Any]:
        metadata = await self._idp.load_server_metadata()
        expected = {"issuer": metadata["issuer"], "client_id": self._client.client_id}
        expected["algorithms"] = metadata["id_token_signing_alg_values_supported"]
        try:
            return verify_logout_token(token, await self._idp.fetch_jwk_set(), **expected)
        except LogoutTokenError:
            return verify_logout_token(token, await self._idp.fetch_jwk_set(force=True), **expected)

    async def _about(self, session: AppSession) -> dict[str, Any]:
        """What the provider says about how well this user is known. None: it does not say."""
        if self._settings.app_issuer:
            return {"profiles": None, "typing": None, "decision": None}
        url, token = f"{self._settings.idp_url}/account/profile", session.access_token
        try:
            async with httpx.AsyncClient(**self._network) as http:
                answer = await http.get(url, headers={"Authorization": f"Bearer {token}"})
            answer.raise_for_status()
            document = answer.json()
        except (httpx.HTTPError, ValueError):
            document = {}
        return {name: document.get(name) for name in ("profiles", "typing", "decision")}

    def _session(self, request: Request) -> AppSession | None:
        return self._sessions.get(request.session.get("key"))
