"""What a relying party does with a logout token: it verifies it against the realm's keys (OpenID Connect Back-Channel Logout)."""

import time
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet
from stage import Application, Stage
from stage import claims as unverified

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


def verified(stage: Stage, token: str, client: str = "app") -> dict[str, Any]:
    """Return the claims of a logout token. Fails when it is not one of the realm's for this client."""
    keys = httpx.get(f"{stage.issuer}/protocol/openid-connect/certs", trust_env=False).json()
    signing = KeySet.import_key_set({"keys": [key for key in keys["keys"] if key["use"] == "sig"]})
    decoded = jwt.decode(token, signing, algorithms=["RS256"])
    claims: dict[str, Any] = decoded.claims
    assert decoded.header["typ"] == "logout+jwt"
    assert (claims["iss"], claims["aud"]) == (stage.issuer, client)
    assert claims["events"] == {LOGOUT_EVENT: {}}
    assert abs(time.time() - claims["iat"]) < 60
    assert "nonce" not in claims
    return claims


def told(stage: Stage, sid: str, seconds: float = 10) -> float | None:
    """Return how long it took until a logout token for a session came, None when none comes."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        for token in list(Application.logouts):
            said = unverified(token)
            if (said["iss"], said.get("sid")) == (stage.issuer, sid):
                verified(stage, token)
                return time.monotonic() - began
        time.sleep(0.02)
    return None
