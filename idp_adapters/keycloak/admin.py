"""Keycloak's Admin REST API, as far as installing needs it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from sidecar.errors import GaitkeeperError

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
PAGE = 200


class KeycloakRefused(GaitkeeperError):
    """Keycloak could not be reached or did not do what it was asked."""

    code = "keycloak_refused"
    status = 502


class AdminApi:
    """The Admin API of one realm, with a set-up account's name and password. Use as a context manager.

    The account needs ``manage-realm`` and ``manage-clients`` of the realm, and ``view-identity-providers`` and
    ``manage-identity-providers`` where brokers are to be covered.
    """

    def __init__(self, server: str, realm: str, *, user: str, password: str, user_realm: str = "master") -> None:
        self.server, self.realm = server.rstrip("/"), realm
        self._login = (user_realm, {"grant_type": "password", "client_id": "admin-cli", "username": user})
        self._password = password
        # trust_env off: set-up accounts do not travel through a proxy that happens to be set.
        self._http = httpx.Client(timeout=TIMEOUT, trust_env=False)
        self._token = ""

    def __enter__(self) -> "AdminApi":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str = "") -> Any:
        """Read. ``path`` is below the realm's; a leading double slash means below ``/admin``."""
        return self._call("GET", path).json()

    def pages(self, path: str) -> Iterator[Any]:
        """Read a list that the server gives in pages, to its end."""
        first = 0
        while page := self.get(f"{path}?first={first}&max={PAGE}"):
            yield from page
            if len(page) < PAGE:
                return
            first += PAGE

    def find(self, path: str) -> Any | None:
        """Read something that may not be there."""
        response = self._call("GET", path, accept=(404,))
        return None if response.status_code == httpx.codes.NOT_FOUND else response.json()

    def delete(self, path: str) -> None:
        """Remove."""
        self._call("DELETE", path)

    def export(self) -> str:
        """Return the realm as an administrator can export it."""
        return self._call("POST", "/partial-export?exportClients=true&exportGroupsAndRoles=true").text

    def put(self, path: str, body: Any) -> None:
        """Replace."""
        self._call("PUT", path, body)

    def post(self, path: str, body: Any) -> str:
        """Create; return the new thing's id, the last word of its location."""
        return str(self._call("POST", path, body).headers.get("location", "")).rpartition("/")[2]

    def _call(self, method: str, path: str, body: Any = None, accept: tuple[int, ...] = ()) -> httpx.Response:
        url = f"{self.server}/admin{path[1:]}" if path.startswith("//") else self._below(path)
        for fresh in (not self._token, True):
            if fresh:
                self.token()
            headers = {"Authorization": f"Bearer {self._token}"}
            response = self._send(method, url, json=body, headers=headers)
            if response.status_code != httpx.codes.UNAUTHORIZED:  # tokens live for a minute
                break
        if response.is_success or response.status_code in accept:
            return response
        raise KeycloakRefused(f"{method} {url}: {response.status_code} {response.text[:200]}")

    def _below(self, path: str) -> str:
        return f"{self.server}/admin/realms/{quote(self.realm, safe='')}{path}"

    def token(self) -> str:
        """Sign in anew; return the access token. It lives for a minute."""
        realm, form = self._login
        url = f"{self.server}/realms/{realm}/protocol/openid-connect/token"
        response = self._send("POST", url, data=form | {"password": self._password})
        if not response.is_success:
            raise KeycloakRefused(f"the set-up account cannot sign in: {response.status_code}")
        self._token = str(response.json()["access_token"])
        return self._token

    def _send(self, method: str, url: str, **how: Any) -> httpx.Response:
        try:
            return self._http.request(method, url, **how)
        except httpx.HTTPError as error:
            raise KeycloakRefused(f"{method} {url}: {type(error).__name__}") from None


def counts(api: AdminApi) -> dict[str, str]:
    """Return what a realm's plugin counted. Raises KeycloakRefused when the account may not see the server's information."""
    listeners = api.get("//serverinfo")["providers"]["eventsListener"]["providers"]
    told = listeners.get("gaitkeeper-events", {}).get("operationalInfo") or {}
    words = {tuple(key.rsplit(" ", 2)): value for key, value in told.items()}  # REALM KIND NAME
    return {f"{kind} {name}": value for (realm, kind, name), value in words.items() if realm == api.realm}


def name(part: str) -> str:
    """Return a name as one part of a path."""
    return quote(part, safe="")


def issuer_of(server: str, realm: str) -> str:
    """Return what a realm calls itself. Raises KeycloakRefused."""
    url = f"{server.rstrip('/')}/realms/{name(realm)}/.well-known/openid-configuration"
    try:
        answer = httpx.get(url, timeout=TIMEOUT, trust_env=False)
        answer.raise_for_status()
        return str(answer.json()["issuer"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise KeycloakRefused(f"{url}: {type(error).__name__}") from None
