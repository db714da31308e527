"""Every route of an application, so that a table of tests can be held against all of them."""

from collections.abc import Iterator
from typing import Any

from starlette.routing import Route


def http_routes(app: Any) -> set[tuple[str, str]]:
    """Return (method, path) of every route; one of a kind unknown here is an error, lest it escape a table."""
    return {(method, route.path) for route in _all(app.routes) for method in route.methods or () if method != "HEAD"}


def _all(routes: Any) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route
        elif (included := getattr(route, "original_router", None)) is not None:
            yield from _all(included.routes)
        else:
            raise TypeError(f"no table knows about {type(route).__name__}")
