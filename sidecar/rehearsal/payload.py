"""Timings as the widget would send them: the hidden form field of one page, in 0.1 ms ticks."""

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from sidecar.domain.biometrics import Provenance
from sidecar.evaluation.synthetic import Row
from sidecar.wire import Batch, FieldState, HiddenField, KeyClass, Keys

PAGE_OPEN_MS = 1000.0


def hidden_field(password: Sequence[Row], username: Sequence[Row] | None = None) -> str:
    """Encode one login. Without rows for it the user name was filled. Enter is a row whose hold is NaN."""
    presses: list[tuple[int, Row, KeyClass]] = []
    began = PAGE_OPEN_MS
    if username:
        presses += [(0, (began + down, hold), KeyClass.CHARACTER) for down, hold in username]
        began += username[-1][0] + 600.0
    for down, hold in password:
        presses.append((1, (began + down, hold), KeyClass.SUBMIT if math.isnan(hold) else KeyClass.CHARACTER))
    ticks = [round(row[0] * 10) for _, row, _ in presses]
    keys = Keys(
        f=[field for field, _, _ in presses],
        c=[kind for _, _, kind in presses],
        d=[0] + [later - earlier for earlier, later in pairwise(ticks)],
        h=[-1 if math.isnan(row[1]) else round(row[1] * 10) for _, row, _ in presses],
    )
    states = [
        FieldState(f=0, p=Provenance.TYPED if username else Provenance.FILLED),
        FieldState(f=1, p=Provenance.TYPED),
    ]
    batch = Batch(
        v=1, seq=0, page=0, q=1, ctx="keyboard", t=ticks[0], f=["username", "password"], k=keys, s=states, end=1
    )
    return msgspec.json.encode(HiddenField(v=1, n=1, b=[batch])).decode()
