"""Signed tokens: the only importer of a JOSE library, and the only place where a token becomes verified claims.

python-jose alone lets a token choose its algorithm, ignores ``typ``, ``kid`` and ``crit`` and accepts undated tokens;
``_verify`` is the strict wrapper around it. One function signs and one verifies each kind of token, and ``typ`` keeps
the kinds apart: a request assertion can never pass as a capture token.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwt
from jose.exceptions import JOSEError

from sidecar.errors import CaptureExpired, CaptureRefused, TokenInvalid

REQUEST_TYP = "gk-request+jwt"
CAPTURE_TYP = "gk-capture+jwt"
DEVICE_TYP = "gk-device+jwt"
DEVICE_SECONDS = 180 * 86_400
MAX_TOKEN_CHARS = 4096
MAX_ASSERTION_SECONDS = 60
CLOCK_SKEW_SECONDS = 30

# What python-jose lets through besides its own errors: claims nested deep enough are a RecursionError.
_UNREADABLE = (JOSEError, ValueError, TypeError, OverflowError, RecursionError)

Jwk = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An ES256 private key. ``jwk`` is the public half that the other side is given."""

    pem: str
    kid: str
    jwk: Jwk


@dataclass(frozen=True, slots=True)
class RequestClaims:
    """A verified request assertion: who called, and the id that may be used once until ``expires``."""

    issuer: str
    jti: str
    expires: int


@dataclass(frozen=True, slots=True)
class CaptureClaims:
    """A verified capture token. ``issued`` is in seconds with fractions; the wall clock check needs them.

    ``gpc``: the browser that opened the capture sent Global Privacy Control.
    """

    capture: str
    site: str
    origin: str
    attempt: str
    issued: float
    expires: int
    gpc: bool = False


def new_signing_key() -> SigningKey:
    """Make a P-256 key for ES256."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return load_signing_key(pem)


def load_signing_key(pem: str) -> SigningKey:
    """Load a P-256 private key from PEM; its ``kid`` is the RFC 7638 thumbprint. Raises TokenInvalid."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        raise TokenInvalid("the signing key is not a PEM private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TokenInvalid("the signing key is not a P-256 key")
    point = key.public_key().public_numbers()
    public = {"crv": "P-256", "kty": "EC", "x": _b64(point.x.to_bytes(32)), "y": _b64(point.y.to_bytes(32))}
    canonical = "{" + ",".join(f'"{name}":"{public[name]}"' for name in ("crv", "kty", "x", "y")) + "}"
    kid = _b64(hashlib.sha256(canonical.encode()).digest())
    return SigningKey(pem=pem, kid=kid, jwk={**public, "kid": kid, "use": "sig", "alg": "ES256"})


def sign_request(key: SigningKey, *, issuer: str, audience: str, method: str, url: str, body: bytes, now: float) -> str:
    """Sign one HTTP request: method, URL and exact body are bound, valid for 60 seconds, usable once."""
    claims = {
        "iss": issuer,
        "aud": audience,
        "iat": int(now),
        "exp": int(now) + MAX_ASSERTION_SECONDS,
        "jti": secrets.token_urlsafe(16),
        "htm": method.upper(),
        "htu": url,
        "body_sha256": _digest(body),
    }
    return _sign(claims, key.pem, "ES256", {"typ": REQUEST_TYP, "kid": key.kid})


def verify_request(
    token: str,
    keys: Mapping[str, Sequence[Jwk]],
    *,
    audience: str,
    method: str,
    url: str,
    body: bytes,
    now: float,
) -> RequestClaims:
    """Verify an assertion over one HTTP request.

    ``keys`` maps issuer to its public keys. The caller still has to refuse a ``jti`` seen before, in the transaction of
    the effect. Raises TokenInvalid.
    """
    unverified = _unverified_claims(token)
    issuer = unverified.get("iss")
    if not isinstance(issuer, str) or issuer not in keys:
        raise TokenInvalid("unknown issuer")
    claims = _verify(
        token,
        _pick_key(_header(token, REQUEST_TYP, "ES256"), keys[issuer]),
        "ES256",
        audience=audience,
        issuer=issuer,
        now=now,
    )
    if claims["exp"] - claims["iat"] > MAX_ASSERTION_SECONDS:
        raise TokenInvalid("valid for longer than 60 seconds")
    if claims.get("htm") != method.upper() or claims.get("htu") != url:
        raise TokenInvalid("made for another request")
    if not hmac.compare_digest(str(claims.get("body_sha256", "")).encode(), _digest(body).encode()):
        raise TokenInvalid("made for another body")
    jti = claims["jti"]
    if not isinstance(jti, str) or not 8 <= len(jti) <= 128:
        raise TokenInvalid("jti of unusable length")
    return RequestClaims(issuer=issuer, jti=jti, expires=int(claims["exp"]))


def sign_capture(claims: CaptureClaims, secret: bytes) -> str:
    """Sign a capture token with a key of its own (HS256; only the sidecar ever verifies it)."""
    body = {
        "iss": "gaitkeeper",
        "aud": "gaitkeeper-captures",
        "jti": claims.capture,
        "site": claims.site,
        "origin": claims.origin,
        "attempt": claims.attempt,
        "iat": int(claims.issued),
        "ms": round(claims.issued * 1000),
        "exp": claims.expires,
        "gpc": claims.gpc,
    }
    return _sign(body, _b64(secret), "HS256", {"typ": CAPTURE_TYP, "kid": "capture"})


def verify_capture(token: str, secret: bytes, *, now: float) -> CaptureClaims:
    """Verify a capture token. Raises CaptureExpired, CaptureRefused."""
    try:
        header = _header(token, CAPTURE_TYP, "HS256")
        if header["kid"] != "capture":
            raise TokenInvalid("unknown key")
        claims = _verify(
            token,
            _b64(secret),
            "HS256",
            audience="gaitkeeper-captures",
            issuer="gaitkeeper",
            now=now,
            expired=CaptureExpired,
        )
        return CaptureClaims(
            capture=claims["jti"],
            site=claims["site"],
            origin=claims["origin"],
            attempt=claims["attempt"],
            issued=claims["ms"] / 1000,
            expires=claims["exp"],
            gpc=claims["gpc"] is True,
        )
    except (TokenInvalid, KeyError, TypeError):
        raise CaptureRefused("the capture token is not valid") from None


def new_device() -> str:
    """Make an id for a browser that has none."""
    return secrets.token_urlsafe(16)


def sign_device(device: str, tenant: str, secret: bytes, *, at: float) -> str:
    """Sign the value of a device cookie (HS256; only the sidecar ever verifies it). The same arguments, the same value."""
    body = {
        "iss": "gaitkeeper",
        "aud": f"gaitkeeper-devices {tenant}",
        "jti": device,
        "iat": int(at),
        "exp": int(at) + DEVICE_SECONDS,
    }
    return _sign(body, _b64(secret), "HS256", {"typ": DEVICE_TYP, "kid": "device"})


def verify_device(token: str, tenant: str, secret: bytes, *, now: float) -> str | None:
    """Return the id in a device cookie; None for one that is expired, another tenant's, or none of ours."""
    try:
        _header(token, DEVICE_TYP, "HS256")
        audience = f"gaitkeeper-devices {tenant}"
        claims = _verify(token, _b64(secret), "HS256", audience=audience, issuer="gaitkeeper", now=now)
    except TokenInvalid:
        return None
    device = claims.get("jti")
    return device if isinstance(device, str) and 16 <= len(device) <= 64 else None


def _sign(claims: Mapping[str, Any], key: str, algorithm: str, header: Mapping[str, str]) -> str:
    token: str = jwt.encode(dict(claims), key, algorithm=algorithm, headers=dict(header))
    return token


def _header(token: str, typ: str, algorithm: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenInvalid("too long")
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except _UNREADABLE:
        raise TokenInvalid("not a token") from None
    if header.get("typ") != typ:
        raise TokenInvalid("wrong type")
    if header.get("alg") != algorithm:
        raise TokenInvalid("algorithm not allowed")
    if "crit" in header or "b64" in header:
        raise TokenInvalid("critical header not supported")
    if not isinstance(header.get("kid"), str):
        raise TokenInvalid("no key id")
    return header


def _unverified_claims(token: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenInvalid("too long")
    try:
        claims: dict[str, Any] = jwt.get_unverified_claims(token)
    except _UNREADABLE:
        raise TokenInvalid("not a token") from None
    return claims


def _pick_key(header: Mapping[str, Any], keys: Sequence[Jwk]) -> dict[str, str]:
    found = [
        key for key in keys if key.get("kid") == header["kid"] and key.get("kty") == "EC" and key.get("crv") == "P-256"
    ]
    if len(found) != 1:
        raise TokenInvalid("unknown key")
    return dict(found[0])


def _verify(
    token: str,
    key: str | dict[str, str],
    algorithm: Literal["ES256", "HS256"],
    *,
    audience: str,
    issuer: str,
    now: float,
    expired: type[CaptureExpired] | type[TokenInvalid] = TokenInvalid,
) -> dict[str, Any]:
    # Times are checked below against the caller's clock, so that a login can be replayed from its recording.
    # ``require_exp`` would switch python-jose's own check on again, whatever ``verify_exp`` says.
    options = {f"require_{name}": True for name in ("aud", "iss", "jti")} | {
        f"verify_{name}": False for name in ("exp", "iat", "nbf")
    }
    try:
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=[algorithm], audience=audience, issuer=issuer, options=options
        )
    except _UNREADABLE:
        raise TokenInvalid("signature or claims do not verify") from None
    issued, expires = claims.get("iat"), claims.get("exp")
    if type(issued) is not int or type(expires) is not int or "nbf" in claims:
        raise TokenInvalid("times are not whole seconds")
    if issued > now + CLOCK_SKEW_SECONDS:
        raise TokenInvalid("issued in the future")
    if now >= expires:
        raise expired("expired")
    return claims


def _digest(body: bytes) -> str:
    return _b64(hashlib.sha256(body).digest())


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
