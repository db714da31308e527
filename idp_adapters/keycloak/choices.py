"""What an administrator decides about an installation, and how the realm remembers it.

The choices stand in one attribute of the realm, so that a later run, from another machine too, repeats them without being told
them again. What a flow was made of cannot be changed by an option: a second layout beside the first would be a way around it.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from idp_adapters.keycloak.admin import KeycloakRefused

ATTRIBUTE = "gaitkeeper.choices"
LAYOUT = ("username_first", "levels")
WHEN_MADE = ("fail_mode", "without_second_factor", "deadline_ms")


@dataclass(frozen=True, slots=True)
class Choices:
    """``clients``: bind the flow to these only; without any, to the realm. ``brokers``, ``registration``: None stands for
    whatever fits that: these belong to everybody, so they are left alone where only some clients are bound. ``endpoint``: where
    pages reach the sidecar, if not at its base_url.
    """

    sidecar: str
    issuer: str
    reach: str | None = None
    clients: tuple[str, ...] = ()
    username_first: bool = False
    levels: bool = False
    keep_theme: bool = False
    brokers: bool | None = None
    registration: bool | None = None
    direct_grant: bool = False
    admin_revocation: bool = False
    consent_version: str = "1"
    secret_fields: str = "positions"  # noqa: S105 - a mode
    transport: str = "form"
    endpoint: str | None = None
    fail_mode: str = "challenge"
    without_second_factor: str = "allow"
    deadline_ms: int = 250

    @property
    def url(self) -> str:
        """Where Keycloak reaches the sidecar."""
        return self.reach or self.sidecar

    @property
    def decide(self) -> dict[str, str]:
        """Settings of the Behavior risk execution."""
        return {
            "failMode": self.fail_mode,
            "withoutSecondFactor": self.without_second_factor,
            "deadlineMs": str(self.deadline_ms),
        }

    @property
    def with_brokers(self) -> bool:
        """Whether logins by other providers get a decision."""
        return not self.clients if self.brokers is None else self.brokers

    @property
    def with_registration(self) -> bool:
        """Whether the registration form begins with our step."""
        return not self.clients if self.registration is None else self.registration

    def text(self) -> str:
        """Return what the realm keeps: what is not as by default, in the one form in which it is compared."""
        plain = {item.name: item.default for item in fields(self) if item.default is not MISSING}
        chosen = {name: value for name, value in asdict(self).items() if name not in plain or value != plain[name]}
        return json.dumps(chosen, sort_keys=True, separators=(",", ":"))


def read(text: str | None) -> dict[str, Any]:
    """Return what a realm remembers; empty when it was never installed. Raises KeycloakRefused when it cannot be read."""
    if text is None:
        return {}
    try:
        kept: dict[str, Any] = json.loads(text)
        known = {item.name for item in fields(Choices)}
        kept = {
            name: tuple(value) if isinstance(value, list) else value for name, value in kept.items() if name in known
        }
    except (ValueError, AttributeError):
        raise KeycloakRefused(f"the realm's attribute {ATTRIBUTE} cannot be read: {text[:80]}") from None
    return kept


def settle(given: Mapping[str, Any], kept: Mapping[str, Any], *, whole_realm: bool = False) -> Choices:
    """Return what holds now: what is said, else what was said before, else the default. ``given``: None is nothing said.

    ``whole_realm``: bind everybody from now on, where only some clients were bound. Raises KeycloakRefused when what is said
    contradicts what was made.
    """
    said = {name: value for name, value in given.items() if value not in (None, ())}
    for name in LAYOUT:
        made = kept.get(name, False) if kept else said.get(name, False)
        if said.get(name, made) != made:
            raise KeycloakRefused(
                f"the browser flow was made with{'' if made else 'out'} {option(name)}: leave the option as it was, or bind"
                " the built-in flow, delete the flow 'gaitkeeper browser', and install anew"
            )
    if "clients" in said:
        if kept.get("sidecar") and not kept.get("clients"):
            raise KeycloakRefused("the flow is bound to the whole realm, named clients too: leave --client away")
        said["clients"] = tuple(dict.fromkeys((*kept.get("clients", ()), *said["clients"])))
    if whole_realm:
        said["clients"] = ()
    for name in WHEN_MADE:
        if name in kept or kept.get("sidecar"):
            said.pop(name, None)  # the executions have it already: ``unheard`` says so
    chosen = {**kept, **said}
    if not chosen.get("sidecar"):
        raise KeycloakRefused("say where the sidecar is: --sidecar URL; the realm does not know it yet")
    return Choices(**chosen)


def unheard(given: Mapping[str, Any], chosen: Choices) -> list[str]:
    """Return the options that come too late, because an execution is given its settings when it is made."""
    late = [name for name in WHEN_MADE if given.get(name) is not None and given[name] != getattr(chosen, name)]
    return [
        f"{option(name)} is not applied: it was {getattr(chosen, name)} when the flow was made; change it in the admin"
        " console (Authentication, gaitkeeper browser, Behavior risk)"
        for name in late
    ]


def option(name: str) -> str:
    """Return how a choice is called on the command line."""
    return "--" + name.replace("_", "-")
