"""The OAuth and OpenID Connect core: Authlib's framework-neutral server with code, PKCE (S256, required) and
ID tokens.

Authlib is synchronous and knows no web framework, so a handler reads the request, builds ``ProtocolRequest``
from it and gets a Starlette response back.
"""

import hmac
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, InvalidRequestError, OAuth2Payload
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import AuthorizationCodeMixin, OpenIDCode, UserInfo
from starlette.responses import JSONResponse, Response

from idp_adapters.demo.db import Database, Row, digest
from idp_adapters.demo.keys import ProviderKey
from idp_adapters.demo.sessions import Session, Sessions
from idp_adapters.demo.settings import ClientSettings, DemoSettings
from idp_adapters.demo.users import User, Users

SCOPES = ("openid", "profile")
CODE_SECONDS = 60
TOKEN_SECONDS = 3600


class _Payload(OAuth2Payload):
    """Parameters with their repetitions, which OAuth forbids and Authlib checks."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._lists: dict[str, list[Any]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    @property
    def data(self) -> dict[str, str]:
        return {name: values[0] for name, values in self._lists.items()}

    @property
    def datalist(self) -> dict[str, list[Any]]:
        return self._lists


class ProtocolRequest(OAuth2Request):
    """One request to /authorize or /token, already read."""

    def __init__(
        self,
        method: str,
        url: str,
        pairs: Iterable[tuple[str, str]],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(method, url, headers=headers)
        self.payload: OAuth2Payload = _Payload(pairs)

    @property
    def args(self) -> dict[str, str | None]:
        return dict(self.payload.data)

    @property
    def form(self) -> dict[str, str]:
        return self.payload.data


class _Client(ClientMixin):
    """A registered client as Authlib asks about it."""

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings

    def get_client_id(self) -> str:
        return self.settings.client_id

    def get_default_redirect_uri(self) -> str:
        return ""  # OpenID Connect requires the parameter

    def get_allowed_scope(self, scope: Any) -> str:
        return " ".join(name for name in str(scope or "").split() if name in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.settings.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(self.settings.secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return endpoint != "token" or method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class _Code(AuthorizationCodeMixin):
    """A stored code, together with the session it was issued in."""

    def __init__(self, row: Row, session: Session) -> None:
        self.row, self.session = row, session
        self.code_challenge, self.code_challenge_method = row["challenge"], row["method"]

    def get_redirect_uri(self) -> str:
        return str(self.row["redirect_uri"])

    def get_scope(self) -> str:
        return str(self.row["scope"])

    def get_nonce(self) -> str | None:
        nonce: str | None = self.row["nonce"]
        return nonce

    def get_auth_time(self) -> int:
        return self.session.auth_time

    def get_acr(self) -> str:
        return self.session.acr

    def get_amr(self) -> list[str]:
        return list(self.session.amr)


class _CodeGrant(AuthorizationCodeGrant):
    server: "Provider"

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        self.server.db.run(
            "INSERT INTO code (code, client_id, sid, redirect_uri, scope, nonce, challenge, method, expires)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            digest(code), request.client.get_client_id(), request.user.sid, request.payload.redirect_uri,
            request.scope, data.get("nonce"), data["code_challenge"], data["code_challenge_method"],
            time.time() + CODE_SECONDS,
        )  # fmt: skip

    def query_authorization_code(self, code: str, client: Any) -> _Code | None:
        """Find a code and spend it at once. A second use is theft: its tokens go (RFC 6749 4.1.2)."""
        db = self.server.db
        row = db.one("SELECT * FROM code WHERE code = ? AND client_id = ?", digest(code), client.get_client_id())
        if row is None:
            return None
        if not db.run("UPDATE code SET used = 1 WHERE code = ? AND used = 0", row["code"]):
            db.run("DELETE FROM access_token WHERE code = ?", row["code"])
            return None
        session = self.server.sessions.by_sid(row["sid"])
        return _Code(row, session) if session and row["expires"] > time.time() else None

    def delete_authorization_code(self, authorization_code: Any) -> None:
        """Nothing to do: it is spent already and kept until its session ends, to notice a second use."""

    def authenticate_user(self, authorization_code: Any) -> Session:
        session: Session = authorization_code.session
        return session


class _RequiredS256(CodeChallenge):
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012 - Authlib declares it so

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with code_challenge_method=S256 is required.")
        super().validate_code_challenge(grant, redirect_uri)


class _IdToken(OpenIDCode):
    def __init__(self, provider: "Provider") -> None:
        super().__init__(require_nonce=False)
        self._provider = provider

    def exists_nonce(self, nonce: str, request: Any) -> bool:  # noqa: ARG002
        return False  # the nonce protects the client, who checks it; a code is spent once anyway

    def resolve_client_private_key(self, client: Any) -> Any:  # noqa: ARG002
        return self._provider.key.key

    def get_client_algorithm(self, client: Any) -> str:  # noqa: ARG002
        return self._provider.key.algorithm

    def get_client_claims(self, client: Any) -> dict[str, Any]:
        return {"iss": self._provider.settings.idp_url, "aud": [client.get_client_id()]}

    def get_encode_header(self, client: Any) -> dict[str, str]:  # noqa: ARG002
        return {"alg": self._provider.key.algorithm, "kid": self._provider.key.kid}

    def generate_user_info(self, user: Session, scope: str) -> UserInfo:  # noqa: ARG002
        person = self._provider.users.get(user.sub)
        return UserInfo(claims_of(person) | {"sid": user.sid} if person else {"sub": user.sub, "sid": user.sid})


class Provider(AuthorizationServer):
    """Authlib's server on our tables."""

    def __init__(
        self, settings: DemoSettings, db: Database, users: Users, sessions: Sessions, key: ProviderKey
    ) -> None:
        super().__init__(scopes_supported=None)
        self.settings, self.db, self.users, self.sessions, self.key = settings, db, users, sessions, key
        self.register_grant(_CodeGrant, [_RequiredS256(required=True), _IdToken(self)])
        self.register_token_generator(
            "default",
            BearerTokenGenerator(lambda **_: secrets.token_urlsafe(32), expires_generator=lambda *_: TOKEN_SECONDS),
        )

    def query_client(self, client_id: str) -> Any:
        settings = self.settings.client(client_id)
        return _Client(settings) if settings else None

    def save_token(self, token: Mapping[str, Any], request: Any) -> None:
        self.db.run(
            "INSERT INTO access_token (token, sid, code, scope, expires) VALUES (?,?,?,?,?)",
            digest(token["access_token"]), request.user.sid, request.authorization_code.row["code"],
            token.get("scope", ""), time.time() + TOKEN_SECONDS,
        )  # fmt: skip
        self.sessions.joined(request.user.sid, request.client.get_client_id())

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """No signals here."""

    def create_oauth2_request(self, request: Any) -> ProtocolRequest:
        assert isinstance(request, ProtocolRequest)  # noqa: S101 - a programming error, not an input
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        # 303: what follows a form is fetched with GET, and the form's password is never sent on.
        status = 303 if status == 302 else status
        content = dict(headers) | {"Cache-Control": "no-store"}
        if isinstance(body, Mapping):
            content.pop("Content-Type", None)
            return JSONResponse(dict(body), status, headers=content)
        return Response(body or "", status, headers=content)

    def validated(self, request: ProtocolRequest, session: Session | None) -> Any:
        """The grant an authorization request asks for. Raises OAuth2Error."""
        return self.get_consent_grant(request, end_user=session)  # type: ignore[no-untyped-call]

    def issue(self, parameters: Mapping[str, str], session: Session) -> Response:
        """Answer an authorization request for a session: back to the client with a code."""
        request = ProtocolRequest("GET", self.settings.idp_url + "/authorize", parameters.items())
        grant = self.get_authorization_grant(request)
        response = cast(Response, self.create_authorization_response(request, grant_user=session, grant=grant))
        self.sessions.joined(session.sid, parameters["client_id"])
        return response

    def token_session(self, access_token: str) -> Session | None:
        """The live session an access token stands for."""
        row = self.db.one(
            "SELECT sid FROM access_token WHERE token = ? AND expires > ?", digest(access_token), time.time()
        )
        return self.sessions.by_sid(row["sid"]) if row else None


def claims_of(user: User) -> dict[str, Any]:
    """What an application may know about a user."""
    return {
        "sub": user.sub,
        "preferred_username": user.username,
        "name": user.name,
        "roles": list(user.roles),
    }


def discovery(settings: DemoSettings, key: ProviderKey) -> dict[str, Any]:
    """The provider's metadata document."""
    url = settings.idp_url
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "userinfo_endpoint": f"{url}/userinfo",
        "end_session_endpoint": f"{url}/logout",
        "jwks_uri": f"{url}/jwks",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "subject_types_supported": ["public"],
        "scopes_supported": list(SCOPES),
        "acr_values_supported": ["1", "2"],
        "prompt_values_supported": ["none", "login"],
        "id_token_signing_alg_values_supported": [key.algorithm],
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "claims_supported": ["sub", "sid", "acr", "amr", "auth_time", "name", "preferred_username", "roles"],
    }
