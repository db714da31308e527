"""What tokens say of a decision: nothing, until an administrator wants it."""

import time
from collections.abc import Iterator

import pytest
from direct import Direct
from stage import Stage, claims, redeem

pytestmark = pytest.mark.timeout(600)

SHOWN = {"id.token.claim": "true", "access.token.claim": "true", "introspection.token.claim": "true"}
NOTE = {"user.session.note": "gaitkeeper_risk", "claim.name": "gaitkeeper_risk", "jsonType.label": "String"}


@pytest.fixture
def mappers(stage: Stage) -> Iterator[None]:
    """The application's client with a claim for the risk and one for the authentication methods."""
    client = stage.api.get("/clients?clientId=app")[0]["id"]
    path = f"/clients/{client}/protocol-mappers/models"
    wanted = {"oidc-usersessionmodel-note-mapper": SHOWN | NOTE, "oidc-amr-mapper": SHOWN}
    made = [
        stage.api.post(path, {"name": kind, "protocol": "openid-connect", "protocolMapper": kind, "config": config})
        for kind, config in wanted.items()
    ]
    yield
    for mapper in made:
        stage.api.delete(f"{path}/{mapper}")


def tokens(stage: Stage, direct: Direct, *, after: float = 0) -> dict[str, object]:
    """Log in by typing; return what the id token says."""
    page = direct.sign_in(direct.open(), typed=True)
    assert page.name == "app"
    time.sleep(after)
    return claims(redeem(stage, page.url)["id_token"])


def test_tokens_say_nothing_by_default(stage: Stage) -> None:
    with Direct(stage) as direct:
        page = direct.sign_in(direct.open(), typed=True)
        granted = redeem(stage, page.url)
    for token in ("id_token", "access_token"):
        assert not [name for name in claims(granted[token]) if name.startswith("gaitkeeper")]


def test_a_mapper_tells_the_risk_and_amr_stays_as_it_was(stage: Stage, mappers: None) -> None:
    with Direct(stage) as direct:
        said = tokens(stage, direct)
    assert said["gaitkeeper_risk"] == "low"
    assert "rba" not in said.get("amr", [])  # type: ignore[operator]


def test_amr_names_the_behaviour_when_an_administrator_wants_it_and_not_for_longer(stage: Stage, mappers: None) -> None:
    stage.configure(**{"default.reference.value": "rba", "default.reference.maxAge": "2"})
    try:
        with Direct(stage) as direct:
            assert "rba" in tokens(stage, direct)["amr"]  # type: ignore[operator]
        with Direct(stage) as direct:
            assert "rba" not in tokens(stage, direct, after=3.2)["amr"]  # type: ignore[operator]
    finally:
        stage.configure(**{"default.reference.value": "", "default.reference.maxAge": ""})
