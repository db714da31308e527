"""Calling the sidecar: the example to copy into another identity provider.

Three rules make the hook safe to put into a login:

1. The user waits no longer than ``deadline_seconds``, all tries together.
2. Whatever goes wrong (refused, slow, 5xx, nonsense) is one answer, ``None``; the fail mode decides then.
3. What the user need not wait for (completions, events) is delivered in the background and retried.

Every request carries a fresh signed assertion over its method, URL and exact bytes; a retry signs anew
because an assertion is good for one use, but keeps its ``Idempotency-Key``, so that the sidecar scores an
attempt once.
"""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import quote

import httpx

from sidecar.tokens import SigningKey, sign_request

log = logging.getLogger(__name__)

Action = Literal["allow", "step_up", "deny"]
Outcome = Literal["succeeded", "failed", "abandoned"]
Event = Literal["password_changed", "account_deleted", "logout", "login_failed"]
Act = Literal["show", "export", "consent", "pause", "resume", "forget"]
MAX_ANSWER_BYTES = 64 * 1024
COOKIE_VALUE = re.compile(r"[A-Za-z0-9._-]{1,1024}")
MAX_EXPORT_BYTES = 32 * 1024 * 1024
ACCOUNT_SECONDS = 5.0
BACKGROUND_PAUSES = (0.3, 1.5)


class SidecarSilent(Exception):
    """The sidecar gave no usable answer to a call on behalf of a user; nothing may be taken for done."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the sidecar answered. ``decision_id`` is what the completion report refers to; ``device``: value and lifetime
    (seconds) of the cookie to set in this browser.
    """

    action: Action
    decision_id: str | None
    source: str
    risk_level: str
    reason_user: str
    device: tuple[str, int] | None = None


class SidecarHook:
    """The sidecar's HTTP hook. ``transport`` replaces the network in tests."""

    def __init__(
        self,
        *,
        url: str,
        issuer: str,
        audience: str,
        key: SigningKey,
        deadline_seconds: float = 1.0,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._issuer, self._audience, self._key = url, issuer, audience, key
        self._deadline, self._clock = deadline_seconds, clock
        # trust_env off: a proxy from the environment has no business between a provider and its sidecar.
        self._http = httpx.AsyncClient(transport=transport, timeout=deadline_seconds, trust_env=False)
        self._background: set[asyncio.Task[None]] = set()

    async def evaluate(self, question: Mapping[str, Any]) -> Verdict | None:
        """Ask about one login. None: no usable answer within the deadline."""
        body, key = _encode(question), str(uuid.uuid4())
        try:
            async with asyncio.timeout(self._deadline):
                try:
                    answer = await self._post("/access/v1/evaluation", body, key)
                except (httpx.NetworkError, httpx.RemoteProtocolError):
                    answer = await self._post("/access/v1/evaluation", body, key)
        except (TimeoutError, httpx.HTTPError) as problem:
            log.warning("sidecar gave no answer: %s", type(problem).__name__)
            return None
        verdict = _verdict(answer)
        if verdict is None:
            log.warning("sidecar gave no usable answer: HTTP %s", answer.status_code)
        return verdict

    def report_completion(self, decision_id: str, outcome: Outcome, *, second_factor: bool, sid: str | None) -> None:
        """Say how a login ended. The sidecar learns from this, so only a finished login may say succeeded."""
        path = f"/v1/decisions/{quote(decision_id, safe='')}/completion"
        self._deliver(path, {"outcome": outcome, "second_factor": second_factor, "sid": sid})

    def report_event(self, event: Event, sub: str, sid: str | None = None, device: str | None = None) -> None:
        """Say what happened to an account. ``account_deleted`` makes the sidecar forget the person."""
        told = {"sid": sid, "device": device}
        body: dict[str, Any] = {"type": event, "subject": {"id": sub}}
        self._deliver("/v1/events", body | {name: value for name, value in told.items() if value})

    async def subject(self, act: Act, sub: str, **told: Any) -> dict[str, Any]:
        """Exercise a user's right on their behalf. Empty: nothing is kept about them. Raises SidecarSilent."""
        body = _encode({"subject": {"id": sub}} | told)
        # Nothing but a person waits for these, and an export is long; the states are shown on pages that must not hang.
        seconds = self._deadline if act == "show" else ACCOUNT_SECONDS
        try:
            async with asyncio.timeout(seconds):
                answer = await self._post(f"/v1/subjects/{act}", body, str(uuid.uuid4()), seconds)
        except (TimeoutError, httpx.HTTPError) as problem:
            log.warning("sidecar did not take %s: %s", act, type(problem).__name__)
            raise SidecarSilent(type(problem).__name__) from None
        if answer.status_code == httpx.codes.NOT_FOUND and act in ("show", "export"):
            return {}
        found = _json(answer, MAX_EXPORT_BYTES)
        if not found:
            log.warning("sidecar did not take %s: HTTP %s", act, answer.status_code)
            raise SidecarSilent(f"HTTP {answer.status_code}")
        return found

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what nobody waits for; ``drain`` waits for it."""
        task = asyncio.create_task(work)
        self._background.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._background.discard)

    async def drain(self) -> None:
        """Wait for what is still being delivered."""
        while self._background:
            await asyncio.gather(*self._background, return_exceptions=True)

    async def aclose(self) -> None:
        """Give deliveries a last moment, then close the connections."""
        try:
            async with asyncio.timeout(3):
                await self.drain()
        except TimeoutError:
            log.warning("closing with %d undelivered reports", len(self._background))
        await self._http.aclose()

    async def _post(self, path: str, body: bytes, idempotency_key: str, seconds: float | None = None) -> httpx.Response:
        url = self._url + path
        assertion = sign_request(
            self._key,
            issuer=self._issuer,
            audience=self._audience,
            method="POST",
            url=url,
            body=body,
            now=self._clock(),
        )
        headers = {
            "Authorization": f"Bearer {assertion}",
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key,
        }
        return await self._http.post(url, content=body, headers=headers, timeout=seconds or self._deadline)

    def _deliver(self, path: str, content: Mapping[str, Any]) -> None:
        self.later(self._deliver_with_retry(path, _encode(content), str(uuid.uuid4())))

    async def _deliver_with_retry(self, path: str, body: bytes, key: str) -> None:
        for pause in (*BACKGROUND_PAUSES, None):
            try:
                status = (await self._post(path, body, key)).status_code
            except httpx.HTTPError as problem:
                status, reason = 0, type(problem).__name__
            else:
                reason = f"HTTP {status}"
            if 200 <= status < 300:
                return
            if (400 <= status < 500 and status not in (408, 425, 429)) or pause is None:
                log.warning("sidecar did not take %s: %s", path, reason)
                return
            await asyncio.sleep(pause)


def action_without_answer(fail_mode: str) -> Action:
    """What a silent sidecar means. An unknown mode is the strictest one."""
    modes: dict[str, Action] = {"open": "allow", "challenge": "step_up", "closed": "deny"}
    return modes.get(fail_mode, "deny")


def _verdict(answer: httpx.Response) -> Verdict | None:
    """Read an AuthZEN answer. One that contradicts itself is no answer; a bare ``false`` is a denial."""
    document = _json(answer)
    decision, context = document.get("decision"), document.get("context", {})
    if not isinstance(decision, bool) or not isinstance(context, dict):
        return None
    action = context.get("action", "allow" if decision else "deny")
    if action not in ("allow", "step_up", "deny") or decision is not (action == "allow"):
        return None
    decision_id, reason = context.get("decision_id"), context.get("reason_user")
    return Verdict(
        action=cast(Action, action),
        decision_id=decision_id if isinstance(decision_id, str) and decision_id else None,
        source=str(context.get("source", "unknown")),
        risk_level=str(context.get("risk_level", "unknown")),
        reason_user=str(reason.get("en", "")) if isinstance(reason, dict) else "",
        device=_device(context.get("device_cookie")),
    )


def _device(found: Any) -> tuple[str, int] | None:
    """The cookie to set, if it is one that a browser takes."""
    if not isinstance(found, dict):
        return None
    value, seconds = found.get("value"), found.get("max_age")
    if not isinstance(value, str) or not COOKIE_VALUE.fullmatch(value) or type(seconds) is not int or seconds <= 0:
        return None
    return value, seconds


def _json(answer: httpx.Response, limit: int = MAX_ANSWER_BYTES) -> dict[str, Any]:
    if answer.status_code != httpx.codes.OK or len(answer.content) > limit:
        return {}
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _encode(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
