"""The flows that an installation makes, as data, and how they come to be in a realm.

The layout is the one that was seen to work on real servers: who it is first (by cookie, broker or form), then one decision
at top level, so that a running session meets it too, then what follows from it. A challenged user without a second factor
never reaches a page on which one could be enrolled.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from idp_adapters.keycloak.admin import AdminApi, name

Requirement = Literal["REQUIRED", "ALTERNATIVE", "CONDITIONAL"]
Change = Callable[[str, Any, Any, Callable[[], object]], None]

BROWSER = "gaitkeeper browser"
LEVEL = "conditional-level-of-authentication"
SESSION_SECONDS = 36_000  # as long as a session may live: a running one counts as level 1
AFTER_BROKER = "gaitkeeper after broker"
DIRECT_GRANT = "gaitkeeper direct grant"


@dataclass(frozen=True, slots=True)
class Step:
    """One execution, or with ``steps`` a sub-flow of the name ``what``."""

    what: str
    requirement: Requirement
    config: Mapping[str, str] = field(default_factory=dict)
    steps: Sequence["Step"] = ()


def browser(decide: Mapping[str, str], *, username_first: bool, levels: bool = False) -> tuple[Step, ...]:
    """Return the browser flow. ``decide``: settings of the Behavior risk execution.

    ``levels``: an application can demand a level of authentication (``acr``): 1 is the login forms, 2 the second factor,
    whatever the decision was.
    """
    carry = Step("gaitkeeper-risk", "REQUIRED", {"step": "carry"})
    forms: tuple[Step, ...]
    if username_first:
        forms = (_required("auth-username-form"), carry, _required("auth-password-form"))
    else:
        forms = (_required("auth-username-password-form"),)
    if levels:
        first = {"loa-condition-level": "1", "loa-max-age": str(SESSION_SECONDS)}
        forms = (Step(f"{BROWSER} level 1", "CONDITIONAL", steps=(Step(LEVEL, "REQUIRED", first), *forms)),)
    forms = (carry, *forms)
    who = (
        Step("auth-cookie", "ALTERNATIVE"),
        Step("identity-provider-redirector", "ALTERNATIVE"),
        Step(f"{BROWSER} forms", "ALTERNATIVE", steps=forms),
    )
    return (Step(f"{BROWSER} who", "REQUIRED", steps=who), *_decision(BROWSER, decide, levels=levels))


def after_broker(decide: Mapping[str, str]) -> tuple[Step, ...]:
    """Return the flow that follows a login at another provider: there was no typing here, and still a decision."""
    return _decision(AFTER_BROKER, decide)


def direct_grant(decide: Mapping[str, str]) -> tuple[Step, ...]:
    """Return the flow of the password grant: it has no page, so a challenge wants the code in the same request."""
    who = (_required("direct-grant-validate-username"), _required("direct-grant-validate-password"))
    return (*who, *_decision(DIRECT_GRANT, decide, (_required("direct-grant-validate-otp"),)))


# Keycloak's own pages, whose events also tell the decision that asked for them.
PAGES = (Step("gaitkeeper-otp-form", "ALTERNATIVE"), Step("gaitkeeper-webauthn", "ALTERNATIVE"))


def _decision(
    flow: str, decide: Mapping[str, str], factors: tuple[Step, ...] = PAGES, *, levels: bool = False
) -> tuple[Step, ...]:
    challenge = Step("gaitkeeper-condition", "REQUIRED", {"action": "step_up"})
    demanded: tuple[Step, ...] = ()
    met: tuple[Step, ...] = ()  # who passed a second factor for the application's sake is not asked again for ours
    if levels:
        second = Step(LEVEL, "REQUIRED", {"loa-condition-level": "2", "loa-max-age": "0"})
        steps = (second, _required("conditional-user-configured"), *factors)
        demanded = (Step(f"{flow} level 2", "CONDITIONAL", steps=steps),)
        met = (_unless(f"{flow} level 2"),)
    return (
        Step("gaitkeeper-risk", "REQUIRED", {"step": "decide"} | dict(decide)),
        Step(
            f"{flow} deny",
            "CONDITIONAL",
            steps=(Step("gaitkeeper-condition", "REQUIRED", {"action": "deny"}), _required("gaitkeeper-deny")),
        ),
        *demanded,
        Step(
            f"{flow} step up",
            "CONDITIONAL",
            steps=(challenge, *met, _required("conditional-user-configured"), *factors),
        ),
        Step(
            f"{flow} unmet",
            "CONDITIONAL",
            steps=(challenge, *met, _unless(f"{flow} step up"), _required("gaitkeeper-deny")),
        ),
    )


def _unless(flow: str) -> Step:
    return Step("conditional-sub-flow-executed", "REQUIRED", {"flow_to_check": flow, "check_result": "not-executed"})


def _required(what: str) -> Step:
    return Step(what, "REQUIRED")


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes flows, or what is missing of them when a failure cut an installation short.

    ``made``: whether an earlier run made a change. What it made and is gone now, an administrator took away: it stays away.
    """

    api: AdminApi
    change: Change
    made: Callable[[str], bool]
    say: Callable[[str], None]

    def ensure(self, alias: str, steps: Sequence[Step]) -> None:
        """Make a top-level flow complete. What is there is left as it is; a flow that is gone altogether is made anew."""
        fresh = alias not in {flow["alias"] for flow in self.api.get("/authentication/flows")}
        if fresh:
            body = {"alias": alias, "providerId": "basic-flow", "topLevel": True, "builtIn": False}
            post = partial(self.api.post, "/authentication/flows", body)
            self.change(f"flow '{alias}': create", None, alias, post)
        self._fill(alias, steps, fresh=fresh)

    def _fill(self, alias: str, steps: Sequence[Step], *, fresh: bool) -> None:
        there, seen = list(self._children(alias)), Counter[str]()
        for step in steps:
            seen[step.what] += 1
            what = f"'{step.what}'" + (f" ({seen[step.what]})" if seen[step.what] > 1 else "")
            found, new = next((child for child in there if _is(child, step)), None), fresh
            if found:
                there.remove(found)
            elif self._may(f"flow '{alias}': add {what}", fresh=fresh):
                new = True
                self.change(f"flow '{alias}': add {what}", None, step.what, partial(self._add, alias, step))
                found = next((child for child in reversed(list(self._children(alias))) if _is(child, step)), None)
            else:
                continue
            if found:
                self._settle(alias, found, step, what, fresh=new)
            if step.steps:
                self._fill(step.what, step.steps, fresh=new)

    def _settle(self, alias: str, found: dict[str, Any], step: Step, what: str, *, fresh: bool) -> None:
        """Set requirement and settings of an execution that was never given any."""
        line = f"flow '{alias}': {what} {step.requirement}"
        if found["requirement"] == "DISABLED" and self._may(line, fresh=fresh):
            put = partial(self.api.put, _path(alias), {**found, "requirement": step.requirement})
            self.change(line, found["requirement"], step.requirement, put)
        line = f"flow '{alias}': settings of {what}"
        if step.config and not found.get("authenticationConfig") and self._may(line, fresh=fresh):
            body = {"alias": f"{alias} {step.what} {found['id'][:8]}", "config": dict(step.config)}
            post = partial(self.api.post, f"/authentication/executions/{found['id']}/config", body)
            self.change(line, None, dict(step.config), post)

    def _may(self, line: str, *, fresh: bool) -> bool:
        if fresh or not self.made(line):
            return True
        self.say(f"  left alone: {line}: undone after the installation")
        return False

    def _add(self, alias: str, step: Step) -> str:
        if not step.steps:
            return self.api.post(f"{_path(alias)}/execution", {"provider": step.what})
        flow = {"alias": step.what, "type": "basic-flow", "provider": "", "description": ""}
        return self.api.post(f"{_path(alias)}/flow", flow)

    def _children(self, alias: str) -> Iterator[dict[str, Any]]:
        return (child for child in self.api.find(_path(alias)) or [] if child["level"] == 0)


def _path(alias: str) -> str:
    return f"/authentication/flows/{name(alias)}/executions"


def _is(child: Mapping[str, Any], step: Step) -> bool:
    return bool((child["displayName"] if step.steps else child.get("providerId")) == step.what)
