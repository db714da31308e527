"""``rehearse --require``: in process the shares must be reached, in a browser only that both ways decide alike."""

from typing import Any

import pytest

from sidecar.domain.decisions import Action
from sidecar.rehearsal import command
from sidecar.rehearsal.figures import compared, figures
from sidecar.rehearsal.script import synthetic


def _played(monkeypatch: pytest.MonkeyPatch, genuine: Action, equal: float) -> None:
    """Let both stages answer at once: genuine as told, others challenged."""

    def decided(script: Any) -> list[tuple[Any, Action]]:
        return [(login, genuine if login.kind == "genuine" else Action.STEP_UP) for login in script.logins]

    async def in_process(
        script: Any, _: Any, *, detector: str | None = None, mismatch_from: float | None = None
    ) -> Any:
        return decided(script)

    class Played:
        def __init__(self, login: Any, action: Action) -> None:
            self.login, self.action = login, action

    monkeypatch.setattr(command.in_process, "play", in_process)
    monkeypatch.setattr(command.browser, "play", lambda script, *_: [Played(*pair) for pair in decided(script)])
    monkeypatch.setattr(command.browser, "compare", lambda script, played: {command.AGREEMENT: equal})


@pytest.mark.parametrize(
    ("in_process_only", "genuine", "equal", "reached"),
    [
        (True, Action.ALLOW, 0.0, True),
        (True, Action.STEP_UP, 1.0, False),
        (False, Action.STEP_UP, 1.0, True),
        (False, Action.ALLOW, 0.96, False),
    ],
)
def test_what_is_required(
    monkeypatch: pytest.MonkeyPatch, in_process_only: bool, genuine: Action, equal: float, reached: bool
) -> None:
    _played(monkeypatch, genuine, equal)
    options: dict[str, Any] = {"data": None, "subjects": 2, "seed": 1, "in_process_only": in_process_only}
    assert command.run_rehearsal(**options, json_path=None, require=True) is reached
    assert command.run_rehearsal(**options, json_path=None, require=False)


def test_two_scorers_are_compared_on_the_same_logins() -> None:
    script = synthetic(4, 1)
    one = [(login, Action.STEP_UP if login.kind == "genuine" else Action.ALLOW) for login in script.logins]
    two = [(login, Action.ALLOW if login.kind == "genuine" else Action.STEP_UP) for login in script.logins]
    found = compared(one, two, 1)
    assert found["genuine"] == {
        "first": 1.0, "now": 0.0, "first_ci95": [1.0, 1.0], "now_ci95": [0.0, 0.0], "ci95": [-1.0, -1.0]
    }  # fmt: skip
    assert (found["impostors"]["first"], found["impostors"]["now"]) == (0.0, 1.0)
    assert found["impostors"]["ci95"] == [1.0, 1.0]
    assert compared(one, one, 1)["practised"]["ci95"] == [0.0, 0.0]
    mixed = [(login, Action.ALLOW if login.victim == "synthetic-01" else action) for login, action in one]
    low, high = compared(one, mixed, 1)["genuine"]["ci95"]  # type: ignore[misc]
    assert low < -0.25 < high <= 0.0
    low, high = compared(mixed, one, 1)["genuine"]["first_ci95"]  # type: ignore[misc]
    assert low < 0.75 < high <= 1.0
    assert figures(mixed, 4)["never_challenged_people"] == 1
    assert figures(mixed, 4)["most_challenged_person"] == 1.0
    with pytest.raises(ValueError, match="not of the same logins"):
        compared(one, two[1:], 1)


def test_the_script_is_the_documented_protocol() -> None:
    script = synthetic(3, 1)
    kinds = [login.kind for login in script.logins if login.victim == "synthetic-01"]
    assert (kinds.count("genuine"), kinds.count("first"), kinds.count("practised")) == (10, 2, 2)
    assert all(len(rows) == 10 for rows in script.enrolled.values())
    assert all(login.actor != login.victim for login in script.logins if login.kind != "genuine")
