"""A server that is killed with reports in its queue. Its own realm, because everything else stands still meanwhile."""

import signal
import time

import pytest
from direct import Direct, log_in
from stage import Stage

DATABASE_SECONDS = 2  # a development server's own database (H2) is durable half a second after a commit, not at once

pytestmark = pytest.mark.timeout(900)


def test_a_killed_server_reports_afterwards_what_it_had_not_delivered(restarted: Stage) -> None:
    stage, machine = restarted, restarted.server.machine
    assert machine, "needs a server of its own: run without KEYCLOAK_URL"
    cora, amelia = stage.user_id("cora"), stage.user_id("amelia")
    stage.learn("cora")
    stage.learn("noel")
    noel = stage.user_id("noel")
    with Direct(stage) as direct, Direct(stage) as doubtful:
        page = direct.sign_in(direct.open())
        decision = stage.decision().id
        assert doubtful.sign_in(doubtful.open(), "noel", typed=True).name == "app"
        stage.stop()
        assert direct.pass_otp(page).name == "app"
        assert "kc_action_status=success" in doubtful.refuse(doubtful.open(kc_action="gaitkeeper-consent")).url
        stage.change_password("amelia", "another-word-here")
        stage.api.delete(f"/users/{cora}")
    time.sleep(DATABASE_SECONDS)
    machine.end(signal.SIGKILL)
    assert [stage.fields_of(user) for user in (amelia, cora, noel)] == [{"username", "password"}] * 3
    stage.start()
    machine.start()
    completion = stage.completed(decision)
    assert (completion["outcome"], completion["second_factor"]) == ("succeeded", True)
    stage.until(lambda: stage.fields_of(amelia) == {"username"})
    stage.until(lambda: stage.fields_of(cora) == set())
    stage.until(lambda: stage.fields_of(noel) == set())
    told = stage.call_realm("events", b"{}").json()["reports"]
    assert told["repeated"] >= 4
    assert told["lost"] == 0


def test_after_a_start_the_first_login_is_not_challenged_for_being_the_first(restarted: Stage) -> None:
    stage, machine = restarted, restarted.server.machine
    assert machine, "needs a server of its own: run without KEYCLOAK_URL"
    stage.learn("dinah")
    stage.configure(deadlineMs="250")
    machine.end()
    stage.stop()
    stage.start()
    machine.start()
    assert log_in(stage, username="dinah", typed=True).name == "app"
    told = stage.call_realm("events", b"{}").json()
    assert told["evaluations"]["answered"] == 1
    print(told["times"])
