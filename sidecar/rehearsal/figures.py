"""The figures of a rehearsal."""

from collections.abc import Iterable, Sequence

import numpy as np

from sidecar.domain.biometrics import Floats
from sidecar.domain.decisions import Action
from sidecar.rehearsal.script import Kind, Login


def figures(decided: Iterable[tuple[Login, Action]], subjects: int) -> dict[str, float | int]:
    """Return shares challenged (anything but allow) by kind, and the counts."""
    pairs = list(decided)

    def challenged(kind: Kind) -> float:
        actions = [action for login, action in pairs if login.kind == kind]
        return sum(action is not Action.ALLOW for action in actions) / len(actions) if actions else float("nan")

    own = [sum(each) / len(each) for each in _by_victim(pairs, ("genuine",)).values()]
    return {
        "genuine_challenged": challenged("genuine"),
        "impostor_first_challenged": challenged("first"),
        "impostor_practised_challenged": challenged("practised"),
        "never_challenged_people": sum(share == 0 for share in own),
        "most_challenged_person": max(own, default=float("nan")),
        "subjects": subjects,
        "decisions": len(pairs),
    }


def compared(
    first: Sequence[tuple[Login, Action]], now: Sequence[tuple[Login, Action]], seed: int
) -> dict[str, dict[str, object]]:
    """Shares challenged by two scorers on the same logins, and the 95% intervals of both and of their difference.

    The intervals are of a bootstrap over the people whose accounts were tried (2,000 resamples), paired: a resample has the
    same people for both. Raises ValueError where the logins are not the same.
    """
    found: dict[str, dict[str, object]] = {}
    kinds: dict[str, tuple[Kind, ...]] = {
        "genuine": ("genuine",),
        "first": ("first",),
        "practised": ("practised",),
        "impostors": ("first", "practised"),
    }
    for name, chosen in kinds.items():
        one, two = _by_victim(first, chosen), _by_victim(now, chosen)
        if one.keys() != two.keys() or any(len(one[victim]) != len(two[victim]) for victim in one):
            raise ValueError("the two rehearsals are not of the same logins")
        if not one:
            continue
        pairs = np.array(
            [(sum(one[victim]), sum(two[victim]), len(one[victim])) for victim in sorted(one)], dtype=float
        )
        drawn = np.random.default_rng([seed, 0xB007]).multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs)), 2000)
        sums = drawn @ pairs
        total = pairs.sum(axis=0)
        found[name] = {
            "first": float(total[0] / total[2]),
            "now": float(total[1] / total[2]),
            "first_ci95": _edges(sums[:, 0] / sums[:, 2]),
            "now_ci95": _edges(sums[:, 1] / sums[:, 2]),
            "ci95": _edges((sums[:, 1] - sums[:, 0]) / sums[:, 2]),
        }
    return found


def _edges(resampled: Floats) -> list[float]:
    return [float(edge) for edge in np.quantile(resampled, (0.025, 0.975))]


def _by_victim(decided: Sequence[tuple[Login, Action]], kinds: tuple[Kind, ...]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {}
    for login, action in decided:
        if login.kind in kinds:
            found.setdefault(login.victim, []).append(action is not Action.ALLOW)
    return found
