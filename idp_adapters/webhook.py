"""The generic adapter: session ends are a signed POST to a URL of the identity provider.

The request carries a body-bound ES256 assertion (typ ``gk-request+jwt``, ``iss`` = the sidecar's base URL, ``aud`` = the
URL itself) and is safe to repeat: ``id`` stays the same over retries.
"""

import json
from collections.abc import Callable

import httpx

from sidecar.errors import DeliveryFailed
from sidecar.ports import OutboxItem
from sidecar.tokens import SigningKey, sign_request

TIMEOUT = httpx.Timeout(5.0, connect=2.0)


class Webhook:
    """Implements ``ports.SessionEnder`` over HTTP."""

    def __init__(
        self, url: str, issuer: str, key: SigningKey, client: httpx.AsyncClient, clock: Callable[[], float]
    ) -> None:
        self._url = url
        self._issuer = issuer
        self._key = key
        self._client = client
        self._clock = clock

    may_disable = False  # its contract knows sessions only

    async def end(self, item: OutboxItem, subject: str) -> None:
        """End sessions. Raises DeliveryFailed; a 4xx other than 408 and 429 is permanent."""
        body = json.dumps(
            {
                "id": item.id,
                "scope": item.body["scope"],
                "subject": subject,
                "sid": item.body.get("sid"),
                "reason": item.body.get("reason"),
            }
        ).encode()
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
        try:
            response = await self._client.post(self._url, content=body, headers=headers, timeout=TIMEOUT)
        except httpx.HTTPError as error:
            raise DeliveryFailed(f"{type(error).__name__}") from None
        if response.is_success:
            return
        permanent = response.is_client_error and response.status_code not in (408, 429)
        raise DeliveryFailed(f"answered {response.status_code}", permanent=permanent)
