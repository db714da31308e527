"""The provider's own key: ID tokens and logout tokens, by joserfc. The assertion key is another."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TYP = "logout+jwt"
LOGOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """The private key with the algorithm that fits it."""

    key: ECKey | RSAKey
    algorithm: str

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint, so that a restart with the same file keeps the same id."""
        return self.key.thumbprint()

    def public_set(self) -> dict[str, Any]:
        """The document behind ``jwks_uri``."""
        public = self.key.as_dict(private=False)
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": self.algorithm}]}

    def hinted(self, id_token: str, issuer: str) -> dict[str, Any] | None:
        """Claims of an ID token we issued ourselves, expired or not: a logout hint may well be old."""
        try:
            claims = jwt.decode(
                id_token, KeySet.import_key_set({"keys": self.public_set()["keys"]}), [self.algorithm]
            ).claims
        except (JoseError, ValueError):
            return None
        # A logout token is signed with the same key; its event claim keeps it from passing as an ID token.
        return claims if claims.get("iss") == issuer and "events" not in claims else None

    def logout_token(self, *, issuer: str, client_id: str, sub: str, sid: str) -> str:
        """An OIDC back-channel logout token for one session at one client."""
        now = int(time.time())
        claims = {
            "iss": issuer,
            "aud": client_id,
            "iat": now,
            "exp": now + LOGOUT_SECONDS,
            "jti": secrets.token_urlsafe(16),
            "sub": sub,
            "sid": sid,
            "events": {LOGOUT_EVENT: {}},
        }
        return jwt.encode(
            {"typ": LOGOUT_TYP, "alg": self.algorithm, "kid": self.kid}, claims, self.key, [self.algorithm]
        )


def load_provider_key(pem: str) -> ProviderKey:
    """Read a P-256 or RSA private key from PEM. Raises ValueError."""
    try:
        key: ECKey | RSAKey = ECKey.import_key(pem)
    except (JoseError, ValueError, TypeError):
        key = RSAKey.import_key(pem)
    if isinstance(key, ECKey) and key.curve_name != "P-256":
        raise ValueError("the OIDC key must be P-256 or RSA")
    return ProviderKey(key, "ES256" if isinstance(key, ECKey) else "RS256")
