"""From the right password to a session: what the sidecar is asked, and what its answer leads to.

The rules in one place, without HTTP. A second factor is demanded by the sidecar, by the client's floor
(``always_second_factor``) or wished for by the application (``acr_values``); only a wish may go unfulfilled.
"""

import secrets
from dataclasses import dataclass
from typing import Any, Literal

from idp_adapters.demo import consents
from idp_adapters.demo.consents import Answer
from idp_adapters.demo.hook import Verdict, action_without_answer
from idp_adapters.demo.logins import Login
from idp_adapters.demo.services import Services
from idp_adapters.demo.sessions import Session
from idp_adapters.demo.settings import ClientSettings
from idp_adapters.demo.users import User

Step = Literal["finish", "otp", "refuse"]
Listens = Literal["direct", "form", "not"]
MAX_CAPTURE_CHARS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Submission:
    """What came with the password. ``gpc``: the browser asks by Global Privacy Control not to be tracked; ``device``: the
    cookie that the sidecar had us set in this browser.
    """

    capture: str | None
    ip: str
    user_agent: str
    gpc: bool
    device: str | None = None


def usable_capture(text: str | None) -> str | None:
    """The hidden field, unless it is empty or of absurd size; its content is the sidecar's business alone."""
    return text if text and len(text) <= MAX_CAPTURE_CHARS else None


def listens(s: Services, browser: str) -> Listens:
    """How the login page may listen, by who signed in in this browser last; who sits there now is not known yet.

    By the name typed it must not be decided: the page would tell strangers who has an account, and what they answered.
    """
    visitor = s.logins.last_visitor(browser)
    answer = s.consents.of(visitor) if visitor else None
    if answer is None:
        return "form"
    return "direct" if answer.given else "not"


async def password_accepted(
    s: Services, login: Login, client: ClientSettings, user: User, sent: Submission
) -> tuple[Step, Login, tuple[str, int] | None]:
    """Ask the sidecar about this login and decide how it goes on; the login as it then stands, and the device cookie."""
    abandon(s, login)
    sid = secrets.token_urlsafe(16)
    answer = s.consents.of(user.sub)
    verdict = await s.hook.evaluate(_question(login, user, sent, sid, answer))
    action = verdict.action if verdict else action_without_answer(client.fail_mode)
    step = _next_step(action, login, client, user, agreed=answer is not None and answer.given)
    # A denial has no outcome to report; everything else is owed one.
    decision_id = verdict.decision_id if verdict and action != "deny" else None
    login = s.logins.evaluated(login, user.sub, sid, decision_id, _described(verdict, action))
    if step == "otp":
        s.logins.move(login, "otp")
    elif step == "refuse":
        _report(s, login, "failed")
    return step, login, verdict.device if verdict else None


def password_refused(s: Services, username: str, device: str | None) -> None:
    """Say that a password was wrong, where there is an account: it counts against this browser, not against the person."""
    user = s.users.named(username)
    if user and device:
        s.hook.report_event("login_failed", user.sub, device=device)


def finish(s: Services, login: Login, previous: Session | None, *, second_factor: bool) -> str | None:
    """Make the login real: its session cookie, or None when what it builds on is gone.

    The browser's previous session ends; it would otherwise live on unseen. Only here is a success reported.
    """
    sub, sid = login.sub or "", login.sid or ""
    if s.users.get(sub) is None:
        return None
    if login.decision is None:  # no password was asked: this adds a factor to the session that is running
        if previous is None or previous.sid != sid:
            return None
        cookie = s.sessions.raise_acr(sid)
    else:
        if previous:
            s.end(previous, report=False)
        cookie = s.sessions.start(sid, sub, second_factor=second_factor, decision=login.decision)
    s.logins.move(login, "done")
    decision_id = s.logins.settle(login)
    if decision_id:
        s.hook.report_completion(decision_id, "succeeded", second_factor=second_factor, sid=sid)
    return cookie


def fail(s: Services, login: Login) -> None:
    """Too many wrong codes."""
    s.logins.move(login, "closed")
    _report(s, login, "failed")


def abandon(s: Services, login: Login) -> None:
    """The user turned back, or began again and nobody waits for the earlier decision any more."""
    _report(s, login, "abandoned")


def sweep(s: Services) -> None:
    """Clear away old transactions; whoever left the code page open and went has abandoned the login.

    Also the moment to try once more to tell the sidecar of answers it has not heard.
    """
    for login in s.logins.sweep():
        if login.decision_id:
            s.hook.report_completion(login.decision_id, "abandoned", second_factor=False, sid=login.sid)
    for sub in s.consents.untold():
        consents.tell_later(s, sub)


def _next_step(action: str, login: Login, client: ClientSettings, user: User, *, agreed: bool) -> Step:
    if action == "deny":
        return "refuse"
    demanded = action == "step_up" or client.always_second_factor
    if user.totp_secret and (demanded or wants_second_factor(login.request)):
        return "otp"
    if client.always_second_factor:
        return "refuse"  # a floor that somebody without a second factor could walk under would be none
    # Who did not agree to be looked at must not be shut out for want of what nobody looked at.
    locked = action == "step_up" and client.without_second_factor == "deny" and agreed
    return "refuse" if locked else "finish"


def wants_second_factor(request: dict[str, str]) -> bool:
    """Whether the application wished for acr 2."""
    return "2" in request.get("acr_values", "").split()


def _report(s: Services, login: Login, outcome: Literal["failed", "abandoned"]) -> None:
    decision_id = s.logins.settle(login)
    if decision_id:
        s.hook.report_completion(decision_id, outcome, second_factor=False, sid=login.sid)


def _question(login: Login, user: User, sent: Submission, sid: str, answer: Answer | None) -> dict[str, Any]:
    """The AuthZEN request. Both pages' captures go along when the username was asked first."""
    context: dict[str, Any] = {
        "attempt": login.attempt,
        "attempt_started_at": int(login.attempt_started),
        "sid": sid,
        "ip": sent.ip,
        "user_agent": sent.user_agent,
        "acr": "1",
        "second_factor": user.totp_secret is not None,
        "gpc": sent.gpc,
        "device": sent.device,
        **consents.context(answer),
    }
    pages = [text for text in (login.username_capture, sent.capture) if text]
    if pages:
        context["capture"] = pages if login.layout == "split" else pages[-1]
    return {
        "subject": {"type": "user", "id": user.sub, "properties": {"name": user.username}},
        "action": {"name": "login"},
        "resource": {"type": "client", "id": login.client_id},
        "context": context,
    }


def _described(verdict: Verdict | None, action: str) -> dict[str, Any]:
    """What the account page may show about the decision: never the administrator's reason."""
    if verdict is None:
        return {"action": action, "source": "unreachable", "risk_level": "unknown", "message": ""}
    return {
        "action": action,
        "source": verdict.source,
        "risk_level": verdict.risk_level,
        "message": verdict.reason_user,
    }
