"""OIDC login of operators, with Authlib. The page knows a person only by a signed cookie of a few minutes to hours."""

import secrets
import time
import warnings
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.oidc.core import CodeIDToken
from fastapi import Request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from sidecar.config import OperatorSettings
from sidecar.domain.roles import Permission, Role, allowed, known_roles
from sidecar.errors import Forbidden, GaitkeeperError

with warnings.catch_warnings():
    # Authlib would rather have httpx2; both work, and the product speaks httpx everywhere.
    warnings.simplefilter("ignore")
    from authlib.integrations.httpx_client import AsyncOAuth2Client

T = TypeVar("T")

SESSION_SECONDS = 8 * 3600


class NotSignedIn(GaitkeeperError):
    """Nobody is signed in; the page answers 401 with the way to the login."""

    code = "login_required"
    status = 401


class ProviderFailed(GaitkeeperError):
    """The operators' identity provider cannot be reached, or answers something else."""

    code = "provider_failed"
    status = 502


class OperatorLogin:
    """Signs operators in at the configured OpenID provider (code flow, PKCE, state, nonce)."""

    def __init__(self, settings: OperatorSettings, base_url: str, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._secret = settings.client_secret_file.read_text().strip()
        self._redirect = f"{base_url}/operator/callback"
        self._http = http
        self._metadata: dict[str, Any] | None = None

    async def begin(self, request: Request, *, as_somebody_else: bool = False) -> str:
        """Return the URL of the provider's login page and remember state, nonce and verifier in the cookie."""
        extra = {"prompt": "login"} if as_somebody_else else {}
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        endpoint = (await self._reached(self._discover()))["authorization_endpoint"]
        url, state = self._client().create_authorization_url(endpoint, code_verifier=verifier, nonce=nonce, **extra)
        request.session["login"] = {"state": state, "nonce": nonce, "verifier": verifier}
        return str(url)

    async def finish(self, request: Request) -> None:
        """Redeem the code and remember who signed in. Raises Forbidden."""
        begun = request.session.pop("login", None)
        state = request.query_params.get("state", "")
        if (
            not begun
            or not secrets.compare_digest(state.encode(), begun["state"].encode())
            or "code" not in request.query_params
        ):
            raise Forbidden("this login was not begun here; start again")
        claims = await self._reached(self._redeemed(request.query_params["code"], begun))
        roles = known_roles(_listed(claims.get(self._settings.roles_claim)))
        if not roles:
            raise Forbidden(f"your account has none of the roles {', '.join(Role)}")
        tenants = _listed(claims.get(self._settings.tenants_claim)) if self._settings.tenants_claim else None
        request.session.clear()
        request.session["operator"] = {
            "name": claims.get("preferred_username") or claims["sub"],
            "roles": roles,
            "tenants": tenants,
            "csrf": secrets.token_urlsafe(16),
            "until": int(time.time()) + SESSION_SECONDS,
        }

    async def _redeemed(self, code: str, begun: dict[str, str]) -> dict[str, Any]:
        metadata = await self._discover()
        async with self._client() as client:
            token = await client.fetch_token(metadata["token_endpoint"], code=code, code_verifier=begun["verifier"])
        return await self._verified(str(token.get("id_token", "")), begun["nonce"], metadata)

    async def _reached(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except (httpx.HTTPError, ValueError):
            raise ProviderFailed("the operators' identity provider does not answer as it should") from None
        except AuthlibBaseError as error:
            raise Forbidden(f"the operators' identity provider refused ({error.error})") from None

    async def _verified(self, id_token: str, nonce: str, metadata: dict[str, Any]) -> dict[str, Any]:
        keys = KeySet.import_key_set((await self._http.get(metadata["jwks_uri"])).json())
        try:
            token = jwt.decode(id_token, keys, algorithms=["ES256", "RS256"])
            options: dict[str, Any] = {
                "iss": {"essential": True, "value": self._settings.issuer},
                "aud": {"essential": True, "value": self._settings.client_id},
            }
            CodeIDToken(
                token.claims, token.header, options, {"nonce": nonce, "client_id": self._settings.client_id}
            ).validate(leeway=30)
        except (JoseError, ValueError) as error:
            raise Forbidden(f"the provider's ID token was refused ({type(error).__name__})") from None
        if token.claims.get("nonce") != nonce:
            raise Forbidden("the provider's ID token belongs to another login")
        return dict(token.claims)

    async def _discover(self) -> dict[str, Any]:
        if self._metadata is None:
            response = await self._http.get(f"{self._settings.issuer}/.well-known/openid-configuration")
            response.raise_for_status()
            found: dict[str, Any] = response.json()
            if found.get("issuer") != self._settings.issuer:
                raise Forbidden("the provider's metadata names another issuer")
            self._metadata = found
        return self._metadata

    def _client(self) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            self._settings.client_id,
            self._secret,
            scope="openid profile",
            redirect_uri=self._redirect,
            code_challenge_method="S256",
        )


@dataclass(frozen=True, slots=True)
class Operator:
    """Who is signed in. ``tenants``: which tenants they may see; None for all."""

    name: str
    roles: tuple[str, ...]
    tenants: tuple[str, ...] | None
    csrf: str

    def may(self, permission: Permission) -> bool:
        """Tell whether one of their roles permits it."""
        return allowed(self.roles, permission)

    def among(self, tenants: Sequence[str]) -> list[str]:
        """Return those tenants they may see."""
        return [tenant for tenant in tenants if self.tenants is None or tenant in self.tenants]


def operator(request: Request, permission: Permission | None = None) -> Operator:
    """Return who is signed in. Raises NotSignedIn, Forbidden (without the permission)."""
    known: dict[str, Any] | None = request.session.get("operator")
    if not known or known["until"] < time.time():
        raise NotSignedIn("sign in first")
    tenants = known.get("tenants")
    found = Operator(known["name"], tuple(known["roles"]), None if tenants is None else tuple(tenants), known["csrf"])
    if permission is not None and not found.may(permission):
        raise Forbidden(f"none of your roles permits {permission}")
    return found


def _listed(claim: object) -> list[str]:
    return [str(item) for item in claim] if isinstance(claim, list) else []
