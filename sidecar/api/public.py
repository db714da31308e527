"""What anybody may fetch: health, the widget's files, our public key, AuthZEN metadata."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response

from sidecar.config import Settings
from sidecar.errors import NotFound
from sidecar.tokens import SigningKey

WIDGET_FILES = {
    "gaitkeeper.js": "text/javascript",
    "gaitkeeper.mjs": "text/javascript",
    "manifest.json": "application/json",
}


def routes(settings: Settings, widget: Path, key: SigningKey) -> APIRouter:
    """Return the routes. Health tells nothing but that this process answers (OPS6)."""
    router = APIRouter()

    @router.get("/health/live")
    @router.get("/health/ready")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get("/widget/{name}")
    async def file(name: str) -> Response:
        if name not in WIDGET_FILES or not (widget / name).is_file():
            raise NotFound("no such file")
        headers = {
            "Cache-Control": "public, max-age=300",
            "Access-Control-Allow-Origin": "*",
            "X-Content-Type-Options": "nosniff",
        }
        return FileResponse(widget / name, media_type=WIDGET_FILES[name], headers=headers)

    @router.get("/.well-known/jwks.json")
    async def jwks() -> Response:
        return JSONResponse({"keys": [dict(key.jwk)]})

    @router.get("/.well-known/authzen-configuration")
    async def authzen() -> Response:
        base = settings.base_url
        return JSONResponse(
            {"policy_decision_point": base, "access_evaluation_endpoint": f"{base}/access/v1/evaluation"}
        )

    return router
