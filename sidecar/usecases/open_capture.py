"""Open a capture: a signed, short-lived permission to send batches for one login attempt at one site."""

import secrets

from sidecar.config import IdpSettings
from sidecar.tokens import CaptureClaims, sign_capture

CAPTURE_SECONDS = 600


def open_capture(
    site: IdpSettings, origin: str, attempt: str, key: bytes, *, now: float, gpc: bool = False
) -> tuple[str, str]:
    """Return (capture id, token). Stateless: nothing is stored until a first batch arrives."""
    capture = secrets.token_urlsafe(16)
    claims = CaptureClaims(capture, site.site_key, origin, attempt, now, int(now) + CAPTURE_SECONDS, gpc)
    return capture, sign_capture(claims, key)
