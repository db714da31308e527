"""Ending sessions in a Keycloak realm, in one of two ways that ``revocation_url`` tells apart.

``ISSUER/gaitkeeper/sessions/end`` is the jar's realm resource: one signed request, and the sidecar needs no account that could
do more. ``SERVER/admin/realms/REALM`` is the Admin API, as the client ``gaitkeeper-sidecar`` with ``private_key_jwt``: each
call signs in anew, because Keycloak takes an assertion once and for a minute.
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
from authlib.oauth2.rfc7523 import private_key_jwt_sign
from joserfc.jwk import ECKey

from sidecar.errors import DeliveryFailed
from sidecar.ports import OutboxItem
from sidecar.tokens import SigningKey, sign_request

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
MOST_ALONE = 50  # sessions ended each by itself; whoever opens thousands must not put off the end of all
SERVICE_CLIENT = "gaitkeeper-sidecar"
ASSERTION_SECONDS = 30
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ADMIN = "/admin/realms/"
NEVER = (400, 422)  # what is asked for can never be done; everything else may be put right within a day
GONE = (
    "Sess",
    "User",
    "Client",
    "Consent",
)  # how Keycloak begins to say what was not found; a proxy or a missing jar does not
LOOKS = 4
PAUSE_SECONDS = 0.5


class KeycloakSessions:
    """Implements ``ports.SessionEnder``. Both ways are safe to repeat: a session that is gone counts as ended."""

    def __init__(
        self, url: str, issuer: str, key: SigningKey, client: httpx.AsyncClient, clock: Callable[[], float]
    ) -> None:
        self._url = url.rstrip("/")
        self._issuer = issuer
        self._key = key
        self._client = client
        self._clock = clock

    @property
    def may_disable(self) -> bool:
        """Only by the Admin API. The realm resource takes nobody's account away: a stolen key must lock nobody out."""
        return ADMIN in self._url

    async def end(self, item: OutboxItem, subject: str) -> None:
        """End sessions; with the scope ``disable`` also the account. Raises DeliveryFailed, whatever was answered.

        It is over when a look finds nothing left: a token that is refreshed in the moment of the removal writes its session
        back, and a receipt for such a session would be wrong.
        """
        disable = item.body.get("scope") == "disable"
        if disable and not self.may_disable:
            raise DeliveryFailed("the realm resource disables nobody: that is left to the Admin API", permanent=True)
        once = self._by_admin_api if ADMIN in self._url else self._by_realm_resource
        try:
            if disable:
                await self._disable(subject)
            for _ in range(LOOKS):
                if not await once(item, subject):
                    return
                await asyncio.sleep(PAUSE_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError) as error:
            # Not the answer of a Keycloak: a proxy's page, or a version that answers otherwise.
            raise DeliveryFailed(f"no usable answer: {type(error).__name__}") from None
        raise DeliveryFailed("ended sessions keep coming back")

    async def _by_realm_resource(self, item: OutboxItem, subject: str) -> int:
        """End what there is; return how many sessions that were."""
        wanted = {"id": item.id, "scope": item.body["scope"], "subject": subject, "sid": item.body.get("sid")}
        body = json.dumps(wanted).encode()
        token = sign_request(
            self._key,
            issuer=self._issuer,
            audience=self._url,
            method="POST",
            url=self._url,
            body=body,
            now=self._clock(),
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = await self._client.post(self._url, content=body, headers=headers, timeout=TIMEOUT)
        _taken(answer)
        return int(answer.json()["ended"])

    async def _disable(self, subject: str) -> None:
        """Disable the account first: sessions that end while it is enabled can begin anew."""
        headers = {"Authorization": f"Bearer {await self._token()}"}
        user = f"{self._url}/users/{quote(subject, safe='')}"
        answer = await self._client.put(user, json={"enabled": False}, headers=headers, timeout=TIMEOUT)
        _taken(answer, gone=True)

    async def _by_admin_api(self, item: OutboxItem, subject: str) -> int:
        headers = {"Authorization": f"Bearer {await self._token()}"}
        if item.body["scope"] != "session":
            return await self._everything(subject, headers)
        # Offline sessions of a sid are another kind of session with the same id.
        path, ended = f"{self._url}/sessions/{quote(str(item.body['sid']), safe='')}", 0
        for offline in ("false", "true"):
            how: dict[str, Any] = {"params": {"isOffline": offline}, "headers": headers, "timeout": TIMEOUT}
            ended += _taken(await self._client.delete(path, **how), gone=True)
        return ended

    async def _everything(self, subject: str, headers: dict[str, str]) -> int:
        """End what is online, then the offline sessions through the consents: logging out leaves those alive.

        Each session by a request of its own: where several end in one, 26.6 tells only the first one's applications.
        """
        user = f"{self._url}/users/{quote(subject, safe='')}"
        answer = await self._client.get(f"{user}/sessions", headers=headers, timeout=TIMEOUT)
        if not _taken(answer, gone=True):
            return 0
        sessions = [str(one["id"]) for one in answer.json()]
        try:
            for sid in sessions[:MOST_ALONE]:
                path = f"{self._url}/sessions/{quote(sid, safe='')}"
                _taken(await self._client.delete(path, headers=headers, timeout=TIMEOUT), gone=True)
        except (httpx.HTTPError, DeliveryFailed):
            pass  # an application that hangs must not keep the sessions of the others alive: what follows ends all
        _taken(await self._client.post(f"{user}/logout", headers=headers, timeout=TIMEOUT), gone=True)
        answer = await self._client.get(f"{user}/consents", headers=headers, timeout=TIMEOUT)
        _taken(answer)
        for consent in answer.json():
            path = f"{user}/consents/{quote(consent['clientId'], safe='')}"
            _taken(await self._client.delete(path, headers=headers, timeout=TIMEOUT), gone=True)
        return len(sessions)

    async def _token(self) -> str:
        server, _, realm = self._url.partition(ADMIN)
        issuer = f"{server}/realms/{realm}"
        endpoint = f"{issuer}/protocol/openid-connect/token"
        now = int(self._clock())
        assertion = private_key_jwt_sign(
            ECKey.import_key(self._key.pem),
            client_id=SERVICE_CLIENT,
            token_endpoint=endpoint,
            alg="ES256",
            header={"kid": self._key.kid},
            claims={"iat": now, "exp": now + ASSERTION_SECONDS, "jti": secrets.token_urlsafe(16)},
        )
        form = {
            "grant_type": "client_credentials",
            "client_id": SERVICE_CLIENT,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        answer = await self._client.post(endpoint, data=form, timeout=TIMEOUT)
        if not answer.is_success:  # a clock or a key that is put right mends this: never permanent
            raise DeliveryFailed(f"no token: {answer.status_code}")
        return str(answer.json()["access_token"])


def _taken(answer: httpx.Response, *, gone: bool = False) -> bool:
    """Return whether something was there; with ``gone`` it need not be. Raises DeliveryFailed."""
    if answer.is_success:
        return True
    if gone and answer.status_code == httpx.codes.NOT_FOUND and str(answer.json()["error"]).startswith(GONE):
        return False
    raise DeliveryFailed(f"answered {answer.status_code}", permanent=answer.status_code in NEVER)
