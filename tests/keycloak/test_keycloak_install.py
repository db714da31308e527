"""What an installation does to a realm that is somebody's: what it refuses, remembers, leaves alone and takes up again."""

import json
from pathlib import Path

import pytest
from direct import Direct, log_in
from stage import Stage

from idp_adapters.keycloak.flows import BROWSER, REGISTRATION_STEP

pytestmark = pytest.mark.timeout(900)


def executions(stage: Stage, alias: str = BROWSER) -> list[str]:
    """Return the steps of a flow with those of its sub-flows, as an administrator sees them."""
    found = stage.api.get(f"/authentication/flows/{alias.replace(' ', '%20')}/executions")
    return [f"{one['level']} {one.get('providerId') or one['displayName']} {one['requirement']}" for one in found]


def test_what_was_chosen_first_holds_later_without_being_said_again(bare: Stage) -> None:
    first = ("--levels", "--username-first", "--reach", f"{bare.sidecar_url}/", "--consent-version", "7")
    bare.gaitkeeper("install", "--yes", *first, "--direct-grant", "--secret-fields", "summary")
    before, realm = executions(bare), bare.api.get()
    assert realm["attributes"]["gaitkeeper.secretFields"] == "summary"
    assert "Nothing to change." in bare.gaitkeeper("install", "--yes")
    assert executions(bare) == before
    assert bare.api.get()["attributes"] == realm["attributes"]
    said = bare.refused("install", "--yes", "--no-levels")
    assert "the browser flow was made with --levels" in said
    assert "--client away" in bare.refused("install", "--yes", "--client", "open")
    assert "Nothing to change." in bare.gaitkeeper("plan")
    bare.gaitkeeper("install", "--yes", "--consent-version", "8")
    assert "Nothing to change." in bare.gaitkeeper("plan")
    assert bare.api.get()["attributes"]["gaitkeeper.consentVersion"] == "8"


def test_what_an_administrator_took_away_stays_away_whatever_else_was_changed(bare: Stage) -> None:
    bare.gaitkeeper("install", "--yes")
    realm = bare.api.get()
    others = [one for one in realm["eventsListeners"] if one != "gaitkeeper-events"]
    assert others != realm["eventsListeners"]
    bare.api.put("", {"realm": bare.name, "eventsListeners": [*others, "email"]})
    bare.api.delete("/authentication/required-actions/gaitkeeper-consent")
    said = bare.gaitkeeper("install", "--yes")
    assert "Nothing to change." in said
    assert "left alone: realm eventsListeners: add gaitkeeper-events" in said
    assert "left alone: required action: register" in said
    assert sorted(bare.api.get()["eventsListeners"]) == sorted([*others, "email"])


def test_nothing_of_the_administrators_own_is_replaced_unasked(bare: Stage) -> None:
    for built_in, alias in (("browser", "our own"), ("direct%20grant", "our grant"), ("registration", "our form")):
        bare.api.post(f"/authentication/flows/{built_in}/copy", {"newName": alias})
    own = {"browserFlow": "our own", "directGrantFlow": "our grant", "registrationFlow": "our form"}
    bare.api.put("", {"realm": bare.name, "loginTheme": "acme", "registrationAllowed": True, **own})
    said = bare.refused("install", "--yes", "--direct-grant")
    for line in ("browser flow 'our own'", "direct grant flow 'our grant'", "login theme 'acme'", "parent=gaitkeeper"):
        assert line in said
    realm = bare.api.get()
    assert {key: realm[key] for key in own} == own
    assert not [one for one in realm["attributes"] if one.startswith("gaitkeeper")]
    said = bare.gaitkeeper("install", "--yes", "--direct-grant", "--replace-flow", "--keep-theme")
    realm = bare.api.get()
    assert (realm["browserFlow"], realm["directGrantFlow"]) == (BROWSER, "gaitkeeper direct grant")
    assert (realm["loginTheme"], realm["registrationFlow"]) == ("acme", "our form")
    assert "Nothing to change." in bare.gaitkeeper("plan")


def test_a_flow_for_named_clients_leaves_the_others_alone(bare: Stage) -> None:
    bare.api.post(
        "/identity-provider/instances",
        {"alias": "elsewhere", "providerId": "oidc", "enabled": True, "config": {"clientId": "x", "clientSecret": "x"}},
    )
    said = bare.gaitkeeper("install", "--yes", "--client", "open", "--client", "side")
    assert "client open: browser flow" in said
    assert "logins by other providers are not covered" in said
    realm = bare.api.get()
    assert (realm["browserFlow"], realm.get("loginTheme")) == ("browser", None)
    assert bare.api.get("/identity-provider/instances/elsewhere").get("postBrokerLoginFlowAlias") is None
    with Direct(bare) as direct:
        assert 'id="gaitkeeper"' in direct.open("open").text
        assert 'id="gaitkeeper"' not in direct.open("app").text
    assert log_in(bare, "app", "bruno").name == "app"  # nobody is asked where nothing is looked at
    assert "gaitkeeper_source" not in bare.events("LOGIN")[0]["details"]
    assert log_in(bare, "open", "bruno").name == "login-gaitkeeper-consent"
    with Direct(bare) as direct:
        page = direct.refuse(direct.sign_in(direct.open("open"), "bruno"))
        assert page.name == "app"
        assert bare.events("LOGIN")[0]["details"]["gaitkeeper_source"] == "unreachable"
    assert "Nothing to change." in bare.gaitkeeper("plan")
    bare.gaitkeeper("install", "--yes", "--whole-realm")
    realm = bare.api.get()
    assert (realm["browserFlow"], realm["loginTheme"]) == (BROWSER, "gaitkeeper")
    assert (
        bare.api.get("/identity-provider/instances/elsewhere")["postBrokerLoginFlowAlias"] == "gaitkeeper after broker"
    )


def test_a_clients_own_flow_is_not_replaced_unasked_and_every_clients_is_reported(bare: Stage) -> None:
    flows = {flow["alias"]: flow["id"] for flow in bare.api.get("/authentication/flows")}
    side = bare.api.get("/clients?clientId=side")[0]
    own = {"browser": flows["browser"], "direct_grant": flows["direct grant"]}
    bare.api.put(f"/clients/{side['id']}", {**side, "authenticationFlowBindingOverrides": own})
    assert "client 'side' has the browser flow 'browser'" in bare.refused("plan", "--client", "side")
    said = bare.gaitkeeper("plan", "--direct-grant")
    assert "client 'side' has a browser flow of its own" in said
    assert "client 'side' has a direct grant flow of its own" in said


def test_a_registration_form_takes_our_field(bare: Stage) -> None:
    bare.api.put("", {"realm": bare.name, "registrationAllowed": True})
    steps = bare.api.get("//serverinfo")["providers"]["form-action"]["providers"]
    bare.gaitkeeper("install", "--yes")
    if REGISTRATION_STEP not in steps:
        assert bare.api.get()["registrationFlow"] == "registration"
        return
    assert bare.api.get()["registrationFlow"] == "gaitkeeper registration"
    ours = executions(bare, "gaitkeeper registration registration form")
    assert ours[0] == f"0 {REGISTRATION_STEP} REQUIRED"
    assert len(ours) == 4
    assert "Nothing to change." in bare.gaitkeeper("plan")


def test_a_run_killed_in_the_middle_loses_no_old_value_and_is_taken_up_again(bare: Stage) -> None:
    bare.api.put("", {"realm": bare.name, "loginTheme": "keycloak.v2"})
    record = bare.server.keys / f"{bare.name}-changes.jsonl"
    bare.gaitkeeper("install", "--yes")
    whole, flow = record.read_text().splitlines(), executions(bare)
    intended = next(number for number, line in enumerate(whole) if '"realm loginTheme"' in line)
    assert json.loads(whole[intended])["before"] == "keycloak.v2"
    # As a kill right after the change left it: an intention without its confirmation, and half a line.
    record.write_text("\n".join(whole[: intended + 1]) + '\n{"at": 17952')
    said = bare.gaitkeeper("install", "--yes")
    assert "Nothing to change." in said
    assert executions(bare) == flow
    assert json.loads(record.read_text().splitlines()[intended])["before"] == "keycloak.v2"
    bare.api.put("", {"realm": bare.name, "loginTheme": "keycloak"})
    assert "left alone: realm loginTheme" in bare.gaitkeeper("install", "--yes")
    record.write_text("nonsense\n" + record.read_text())
    assert f"record_damaged: {record}:1:" in bare.refused("plan")


def test_a_key_that_was_moved_to_the_server_is_not_made_anew(bare: Stage, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    bare.gaitkeeper("install", "--yes", "--keys", str(keys))
    private, public = keys / f"{bare.name}.jwk", (keys / f"{bare.name}-jwks.json").read_text()
    assert private.stat().st_mode & 0o077 == 0
    private.unlink()
    assert "Nothing to change." in bare.gaitkeeper("install", "--yes", "--keys", str(keys))
    assert (keys / f"{bare.name}-jwks.json").read_text() == public
