"""What an installation would put out of use, found before anything is changed, each with a way out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from idp_adapters.keycloak import flows
from idp_adapters.keycloak.admin import AdminApi, KeycloakRefused, name
from idp_adapters.keycloak.choices import Choices

THEME = "gaitkeeper"
BUILT_IN_THEMES = (None, "", "base", "keycloak", "keycloak.v2", THEME)
ADD_TO_THEME = """
    theme.properties:  parent=gaitkeeper                (in place of parent=keycloak.v2)
    theme.properties:  scripts=... js/gaitkeeper-page.js  (only if it has a line scripts= of its own)
    footer.ftl:        the content of theme/gaitkeeper/login/footer.ftl of the jar  (only if it has a footer.ftl of its own)"""


def named_clients(api: AdminApi, choices: Choices) -> list[dict[str, Any]]:
    """Return the clients to which the flow is bound. Raises KeycloakRefused when there is no such client."""
    found = []
    for client_id in choices.clients:
        clients = api.get(f"/clients?clientId={name(client_id)}")
        if not clients:
            raise KeycloakRefused(f"there is no client '{client_id}'")
        found.append(clients[0])
    return found


def refuse_replacing(
    api: AdminApi, realm: Mapping[str, Any], choices: Choices, *, replace_flow: bool, replace_theme: bool
) -> None:
    """Raise KeycloakRefused with everything of the administrator's own that would be out of use without their word."""
    clients = named_clients(api, choices)
    found = [] if replace_flow else [*_flows(api, realm, choices, clients)]
    if not choices.keep_theme and not replace_theme:
        found += _themes(realm, clients)
    if found:
        raise KeycloakRefused("\n".join(("nothing was changed:", *(f"  {line}" for line in found))))


def _flows(
    api: AdminApi, realm: Mapping[str, Any], choices: Choices, clients: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    way_out = "add the steps of docs/idp/keycloak.md to it by hand"
    own = realm["browserFlow"]
    if not clients and own not in (flows.BUILT_IN["browserFlow"], flows.BROWSER):
        yield (
            f"the realm's browser flow '{own}' is a custom one and would be out of use: {way_out}, name clients with"
            " --client, or say --replace-flow"
        )
    aliases = {flow["id"]: flow["alias"] for flow in api.get("/authentication/flows")} if clients else {}
    for client in clients:
        own = aliases.get((client.get("authenticationFlowBindingOverrides") or {}).get("browser", ""), "")
        if own not in ("", flows.BROWSER):
            yield (
                f"client '{client['clientId']}' has the browser flow '{own}', which would be out of use: {way_out},"
                " or say --replace-flow"
            )
    own = realm.get("directGrantFlow")
    if choices.direct_grant and own not in (flows.BUILT_IN["directGrantFlow"], flows.DIRECT_GRANT):
        yield (
            f"the realm's direct grant flow '{own}' is a custom one and would be out of use: {way_out}, leave"
            " --direct-grant away, or say --replace-flow"
        )


def _themes(realm: Mapping[str, Any], clients: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for whose, own in (
        [(f"client '{client['clientId']}'", _theme_of(client) or realm.get("loginTheme")) for client in clients]
        if clients
        else [("the realm", realm.get("loginTheme"))]
    ):
        if own not in BUILT_IN_THEMES:
            yield (
                f"the login theme '{own}' of {whose} is a custom one and would be out of use. Say --replace-theme, or"
                f" --keep-theme after adding to it:{ADD_TO_THEME}"
            )


def _theme_of(client: Mapping[str, Any]) -> str | None:
    return (client.get("attributes") or {}).get("login_theme")
