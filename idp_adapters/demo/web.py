"""What every page of both demo sites shares: templates, security headers, forms and CSRF tokens."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

HERE = Path(__file__).parent
MAX_FORM_BYTES = 256 * 1024
FORM_TYPE = "application/x-www-form-urlencoded"


class FormError(Exception):
    """The form is too large, not a form, or not one that we rendered for this browser."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Pages:
    """Renders templates. Undefined names raise: a page with a hole is a bug, not a blank."""

    def __init__(self, **shared: Any) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(shared)

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page."""
        return HTMLResponse(self._environment.get_template(template).render(**values), status)

    def message(
        self, title: str, text: str, *, status: int = 200, links: Iterable[tuple[str, str]] = ()
    ) -> HTMLResponse:
        """A page that only says something. ``links`` are (address, label), the main way on first."""
        return self.render("message.html", status, title=title, text=text, links=list(links))


class Csrf:
    """Tokens that tie a form to the browser cookie it was rendered for; nothing to store."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def token(self, browser: str) -> str:
        """The token for a browser."""
        return hmac.new(self._secret, browser.encode(), hashlib.sha256).hexdigest()

    def check(self, browser: str | None, token: str | None) -> None:
        """Raises FormError unless the token belongs to the browser."""
        if not browser or not token or not hmac.compare_digest(self.token(browser).encode(), token.encode()):
            raise FormError(400, "This page was open for too long, or cookies are switched off. Please start again.")


async def read_pairs(request: Request) -> list[tuple[str, str]]:
    """A urlencoded form as pairs, never reading more than the limit. Raises FormError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise FormError(415, "That was not a form.")
    body = await read_body(request, MAX_FORM_BYTES)
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=40)
    except ValueError:
        raise FormError(400, "That form could not be read.") from None


async def read_form(request: Request) -> dict[str, str]:
    """A form as a mapping; a field given twice counts with its first value that is not empty.

    A widget may append its hidden field next to the empty one that the page has already. Raises FormError.
    """
    form: dict[str, str] = {}
    for name, value in await read_pairs(request):
        form[name] = form.get(name) or value
    return form


async def read_body(request: Request, limit: int) -> bytes:
    """The raw body. Raises FormError when it is larger than allowed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise FormError(413, "That was too much.")
    return bytes(body)


def see_other(url: str) -> RedirectResponse:
    """Go on to another page with GET."""
    return RedirectResponse(url, 303)


def policy(*, script: Iterable[str] = (), connect: Iterable[str] = (), form: Iterable[str] = ()) -> str:
    """The content security policy of every page; the arguments are the origins allowed besides our own."""
    extra = {"script-src": script, "connect-src": connect, "form-action": form}
    own = {"script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:"}
    own |= {"connect-src": "'self'", "form-action": "'self'"}
    parts = [" ".join([name, value, *dict.fromkeys(extra.get(name, ()))]) for name, value in own.items()]
    return "; ".join(["default-src 'none'", *parts, "frame-ancestors 'none'", "base-uri 'none'"])


def harden(app: FastAPI, content_security_policy: str) -> None:
    """Put the security headers on every answer, and serve the static files."""

    @app.middleware("http")
    async def headers(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await proceed(request)
        response.headers["Content-Security-Policy"] = content_security_policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        # Never the transaction id in a Referer; the Origin of the widget's requests is not affected.
        response.headers["Referrer-Policy"] = "same-origin"
        caching = "no-cache" if request.url.path.startswith("/static/") else "no-store"
        response.headers.setdefault("Cache-Control", caching)
        return response

    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
