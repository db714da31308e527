"""The figures of a rehearsal."""

from collections.abc import Iterable

from sidecar.domain.decisions import Action
from sidecar.rehearsal.script import Kind, Login


def figures(decided: Iterable[tuple[Login, Action]], subjects: int) -> dict[str, float | int]:
    """Return shares challenged (anything but allow) by kind, and the counts."""
    pairs = list(decided)

    def challenged(kind: Kind) -> float:
        actions = [action for login, action in pairs if login.kind == kind]
        return sum(action is not Action.ALLOW for action in actions) / len(actions) if actions else float("nan")

    return {
        "genuine_challenged": challenged("genuine"),
        "impostor_first_challenged": challenged("first"),
        "impostor_practised_challenged": challenged("practised"),
        "subjects": subjects,
        "decisions": len(pairs),
    }
