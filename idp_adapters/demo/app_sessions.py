"""Sessions of the demo application, kept in memory: a restart signs everybody out, which suits a demo."""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from idp_adapters.demo.keys import LOGOUT_EVENT, LOGOUT_TYP

SESSION_SECONDS = 8 * 3600
SKEW_SECONDS = 30


class LogoutTokenError(Exception):
    """The logout token is not one this application has to obey."""


@dataclass(slots=True)
class AppSession:
    """Somebody signed in to the application. ``ended`` is set by a back-channel logout."""

    claims: dict[str, Any]
    id_token: str
    access_token: str
    started: float = field(default_factory=time.time)
    ended: bool = False
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def sid(self) -> str:
        """The provider's session, to which ours is tied."""
        return str(self.claims["sid"])


class AppSessions:
    """Sessions by the random key in the browser's cookie."""

    def __init__(self) -> None:
        self._sessions: dict[str, AppSession] = {}
        self._seen: dict[str, float] = {}

    def add(self, session: AppSession) -> str:
        """Keep a session; its key."""
        horizon = time.time() - SESSION_SECONDS
        self._sessions = {key: kept for key, kept in self._sessions.items() if kept.started > horizon}
        key = secrets.token_urlsafe(24)
        self._sessions[key] = session
        return key

    def get(self, key: str | None) -> AppSession | None:
        """The session, ended or not."""
        session = self._sessions.get(key or "")
        return session if session and session.started > time.time() - SESSION_SECONDS else None

    def remove(self, key: str | None) -> None:
        """Forget a session."""
        self._sessions.pop(key or "", None)

    def obey(self, claims: dict[str, Any]) -> int:
        """End what a verified logout token names; how many. Raises LogoutTokenError on its second use."""
        now = time.time()
        self._seen = {jti: until for jti, until in self._seen.items() if until > now}
        if claims["jti"] in self._seen:
            raise LogoutTokenError("used before")
        self._seen[claims["jti"]] = claims["exp"] + SKEW_SECONDS
        sid, sub = claims.get("sid"), claims.get("sub")
        named = [one for one in self._sessions.values() if (one.sid == sid if sid else one.claims["sub"] == sub)]
        for session in named:
            session.ended = True
        return len(named)


def verify_logout_token(
    token: str, jwks: dict[str, Any], *, issuer: str, client_id: str, algorithms: list[str]
) -> dict[str, Any]:
    """The claims of a logout token, checked as Back-Channel Logout 2.6 demands. Raises LogoutTokenError."""
    try:
        decoded = jwt.decode(token, KeySet.import_key_set(jwks), algorithms)  # type: ignore[arg-type]
        registry = jwt.JWTClaimsRegistry(
            leeway=SKEW_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": client_id},
            iat={"essential": True},
            exp={"essential": True},
            jti={"essential": True},
        )
        registry.validate(decoded.claims)
    except (JoseError, ValueError) as problem:
        raise LogoutTokenError(type(problem).__name__) from None
    claims = decoded.claims
    if decoded.header.get("typ") != LOGOUT_TYP or "nonce" in claims:
        raise LogoutTokenError("not a logout token")
    if not isinstance(claims.get("events"), dict) or LOGOUT_EVENT not in claims["events"]:
        raise LogoutTokenError("no logout event")
    if not (isinstance(claims.get("sid"), str) or isinstance(claims.get("sub"), str)):
        raise LogoutTokenError("names neither session nor user")
    if not isinstance(claims["jti"], str):
        raise LogoutTokenError("jti is not a string")
    return claims
