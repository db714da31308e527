"""Routes of the operator page."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from sidecar.console.login import NotSignedIn, Operator, OperatorLogin, operator
from sidecar.console.pages import Pages
from sidecar.domain.roles import Permission
from sidecar.errors import Forbidden, GaitkeeperError, NotFound
from sidecar.usecases.enact import Enactor

_HERE = Path(__file__).parent
SCOPES = ("session", "all")
STATIC = {"operator.css": "text/css", "operator.js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def routes(
    login: OperatorLogin,
    pages: Pages,
    enactor: Enactor,
) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/operator")
    templates = Jinja2Templates(_HERE / "templates")

    def refused(request: Request, error: GaitkeeperError) -> Response:
        context = {"message": error.message}
        return templates.TemplateResponse(request, "signed_out.html", context, error.status, HEADERS)

    @router.get("")
    async def page(request: Request) -> Response:
        try:
            who = operator(request, Permission.DECISIONS_LIST)
        except NotSignedIn:
            return templates.TemplateResponse(request, "signed_out.html", {}, 401, HEADERS)
        context = {"rows": await pages.rows(who), "typing": pages.typing(who), **_may(who)}
        return templates.TemplateResponse(request, "decisions.html", context, headers=HEADERS)

    @router.get("/rows")
    async def fragment(request: Request) -> Response:
        who = operator(request, Permission.DECISIONS_LIST)
        context = {"request": request, "rows": await pages.rows(who), "typing": pages.typing(who), **_may(who)}
        return HTMLResponse(templates.get_template("rows.html").render(context), headers=HEADERS)

    async def enact(request: Request, who: Operator, tenant: str, decision_id: str, scopes: Sequence[str]) -> Response:
        form = await request.form()
        csrf, scope = str(form.get("csrf", "")), str(form.get("scope", scopes[0]))
        if not secrets.compare_digest(csrf.encode(), who.csrf.encode()) or scope not in scopes:
            raise Forbidden("this form was not made for you")
        if tenant not in who.among([tenant]):
            raise NotFound("no such decision")
        await enactor.end_session(tenant, decision_id, scope=scope, by=who.name)
        return RedirectResponse("/operator", 303)

    @router.post("/decisions/{tenant}/{decision_id}/end")
    async def end(request: Request, tenant: str, decision_id: str) -> Response:
        who = operator(request, Permission.SESSIONS_END)  # before a byte of the body is read
        return await enact(request, who, tenant, decision_id, SCOPES)

    @router.post("/decisions/{tenant}/{decision_id}/disable")
    async def disable(request: Request, tenant: str, decision_id: str) -> Response:
        who = operator(request, Permission.PEOPLE_DISABLE)
        return await enact(request, who, tenant, decision_id, ("disable",))

    @router.get("/login")
    async def begin(request: Request) -> Response:
        try:
            return RedirectResponse(await login.begin(request, as_somebody_else="other" in request.query_params), 302)
        except GaitkeeperError as error:
            return refused(request, error)

    @router.get("/callback")
    async def finish(request: Request) -> Response:
        try:
            await login.finish(request)
        except GaitkeeperError as error:
            return refused(request, error)
        return RedirectResponse("/operator", 303)

    @router.post("/logout")
    async def leave(request: Request) -> Response:
        request.session.clear()
        return RedirectResponse("/operator", 303)

    @router.get("/whoami")
    async def whoami(request: Request) -> Response:
        who = operator(request)
        content = {"name": who.name, "roles": who.roles, "tenants": who.tenants, "csrf": who.csrf}
        return JSONResponse(content, headers=HEADERS)

    @router.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in STATIC:
            raise NotFound("no such file")
        return FileResponse(_HERE / "static" / name, media_type=STATIC[name])

    return router


def _may(who: Operator) -> dict[str, object]:
    return {
        "who": who,
        "why": who.may(Permission.DECISIONS_WHY),
        "can_end": who.may(Permission.SESSIONS_END),
        "can_disable": who.may(Permission.PEOPLE_DISABLE),
    }
