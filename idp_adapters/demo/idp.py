"""The demo identity provider."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from idp_adapters.demo.routes_account import AccountRoutes
from idp_adapters.demo.routes_consent import ConsentRoutes
from idp_adapters.demo.routes_hook import HookRoutes
from idp_adapters.demo.routes_login import LoginRoutes
from idp_adapters.demo.routes_oidc import OidcRoutes
from idp_adapters.demo.services import Services, build_services
from idp_adapters.demo.settings import DemoSettings, origin
from idp_adapters.demo.web import FormError, harden, policy


def create_idp(settings: DemoSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """The provider as an ASGI application; ``transport`` replaces the network for everything it calls.

    Its parts are at ``app.state.services``; whoever runs it without a lifespan closes them with ``await
    app.state.aclose()``. Raises OSError, TokenInvalid, ValueError when keys or database cannot be read.
    """
    services = build_services(settings, transport)
    http = httpx.AsyncClient(transport=transport, timeout=3, trust_env=False)

    async def aclose() -> None:
        await http.aclose()
        await services.aclose()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await aclose()

    app = FastAPI(
        title="Gaitkeeper demo identity provider",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.state.services, app.state.aclose = services, aclose
    for routes in (
        OidcRoutes(services),
        LoginRoutes(services),
        AccountRoutes(services),
        ConsentRoutes(services),
        HookRoutes(services, http),
    ):
        app.include_router(routes.router())
    _explain_refusals(app, services)
    harden(app, _policy(settings))
    return app


def _explain_refusals(app: FastAPI, services: Services) -> None:
    """A refused form becomes a page that leads somewhere, never a bare error."""

    async def explain(_: Request, refused: Exception) -> Response:
        if not isinstance(refused, FormError):
            raise refused
        back = (services.settings.app_url + "/", f"Back to {services.settings.app_client.name}")
        return services.pages.message("Please start again", refused.message, status=refused.status, links=[back])

    async def nowhere(_: Request, __: Exception) -> Response:
        return services.pages.message("Nothing here", "This address leads nowhere.", status=404, links=[("/", "Home")])

    app.add_exception_handler(FormError, explain)
    app.add_exception_handler(404, nowhere)


def _policy(settings: DemoSettings) -> str:
    """The widget may be loaded and may talk to its sidecar. Chromium holds ``form-action`` against redirects
    as well, so the applications a login form may end up at are listed too."""
    uris = [uri for client in settings.clients for uri in (*client.redirect_uris, *client.post_logout_redirect_uris)]
    return policy(script=[settings.sidecar_url], connect=[settings.sidecar_url], form=map(origin, uris))
