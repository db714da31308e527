"""Features: known answers, named absences, and properties over every batch the wire accepts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.biometrics import Absence, Cause, Kind, Probe, Provenance
from sidecar.features import keystroke
from sidecar.features.keystroke import extract
from sidecar.wire import MAX_TICKS, Batch, FieldState, KeyClass, Keys

C, E, N, M, S = KeyClass.CHARACTER, KeyClass.EDIT, KeyClass.NAVIGATION, KeyClass.MODIFIER, KeyClass.SUBMIT
Row = tuple[int, KeyClass, int, int]
TYPED: list[Row] = [(0, C, 0, 900), (0, C, 1500, 800), (0, C, 2000, 1000), (0, C, 1200, 700), (0, S, 3000, -1)]


def batch(rows: list[Row], state: FieldState | None = None, **changes: Any) -> Batch:
    f, c, d, h = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    given = {"v": 1, "seq": 0, "page": 0, "q": 1, "ctx": "keyboard", "t": 50_000, "f": ["password"]}
    given |= {"k": Keys(f, c, d, h), "s": [state] if state else [], "end": 1 if state else 0}
    return Batch(**(given | changes))


def typed(edited: int = 0, **more: Any) -> FieldState:
    return FieldState(0, Provenance.TYPED, edited, **more)


def probe(batches: list[Batch], field: str = "password", mode: keystroke.Mode = "positions") -> Probe:
    found = extract(batches, field, mode=mode)
    assert isinstance(found, Probe), found
    return found


def cause(batches: list[Batch], mode: keystroke.Mode = "positions", field: str = "password") -> Cause:
    found = extract(batches, field, mode=mode)
    assert isinstance(found, Absence), found
    assert found.field == field
    return found.cause


def test_positions_known_answer() -> None:
    found = probe([batch(TYPED, typed())])
    expected = [90, 150, 60, 80, 200, 120, 100, 120, 20, 70, 300, 230]
    assert found.values.tolist() == expected
    assert found.labels[:3] == ("hold 1", "down-down 1-2", "up-down 1-2")
    assert found.labels[-3:] == ("hold 4", "down-down 4-enter", "up-down 4-enter")
    assert found.kinds.tolist() == [Kind.HOLD, Kind.DOWN_DOWN, Kind.UP_DOWN] * 4
    assert (found.field, found.layout, found.values.dtype) == ("password", "positions", np.float64)


def test_without_enter_the_last_two_are_missing() -> None:
    found = probe([batch(TYPED[:4], typed())])
    assert np.isnan(found.values[-2:]).all()
    assert np.isfinite(found.values[:-2]).all()


def test_missing_release_takes_its_hold_and_up_down() -> None:
    rows = TYPED.copy()
    rows[1] = (0, C, 1500, -1)
    values = probe([batch(rows, typed())]).values
    assert np.flatnonzero(np.isnan(values)).tolist() == [3, 5]


def test_steps_of_the_other_field_and_of_other_keys_count_towards_the_next_character() -> None:
    rows = [(1, M, 100, 400), *TYPED[:2], (0, M, 500, 100), (1, N, 500, 100), (0, C, 1000, 1000), *TYPED[3:]]
    found = probe([batch(rows, typed(), f=["username", "password"])], "username")
    assert found.values.tolist() == probe([batch(TYPED, typed())]).values.tolist()


def test_batches_of_a_page_join_in_any_order() -> None:
    first = batch(TYPED[:2], t=50_000)
    last = batch([(0, C, 0, 1000), *TYPED[3:]], typed(), seq=1, t=53_500)
    expected = probe([batch(TYPED, typed())]).values
    for order in ([first, last], [last, first], [first, last, first]):
        assert probe(order).values.tolist() == expected.tolist()


def test_newest_page_with_input_counts() -> None:
    wrong = batch([(0, C, 0, 500)] * 6, typed(), seq=0, page=0)
    right = batch(TYPED, typed(), seq=1, page=1)
    idle = batch([(0, N, 0, 100)], FieldState(0, Provenance.NONE), seq=2, page=2)
    assert probe([wrong, right, idle]).values.size == 12
    assert keystroke.provenance([wrong, right], "password") is Provenance.TYPED
    assert keystroke.provenance([wrong, right, idle], "password") is Provenance.NONE
    assert keystroke.provenance([wrong], "username") is None


def test_a_page_without_its_last_batch_counts_as_typed() -> None:
    assert probe([batch(TYPED)]).values.size == 12
    assert cause([batch([])]) is Cause.NOT_TYPED


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (batch(TYPED, FieldState(0, Provenance.PASTED)), Cause.PASTED),
        (batch(TYPED, FieldState(0, Provenance.FILLED)), Cause.FILLED),
        (batch([], FieldState(0, Provenance.NONE)), Cause.NOT_TYPED),
        (batch([(0, S, 0, -1)], FieldState(0, Provenance.FILLED)), Cause.FILLED),
        (batch(TYPED, typed(edited=1)), Cause.CORRECTED),
        (batch([*TYPED[:2], (0, E, 900, 500), *TYPED[1:]], typed()), Cause.CORRECTED),
        (batch(TYPED[:3], typed()), Cause.TOO_SHORT),
        (batch([], typed()), Cause.TOO_SHORT),
        (batch([], typed(s=[1] * 21, n=2)), Cause.WITHHELD),
        (batch(TYPED, typed(), q=100), Cause.COARSE_CLOCK),
        (batch(TYPED[:3], typed(), q=160), Cause.TOO_SHORT),
        (batch(TYPED, typed(), f=["username"]), Cause.NO_CAPTURE),
    ],
)
def test_absences(made: Batch, expected: Cause) -> None:
    assert cause([made]) is expected


def test_the_clock_just_below_ten_ms_is_fine_enough() -> None:
    assert probe([batch(TYPED, typed(), q=99)]).values.size == 12


def test_off_withholds_and_minimum_is_the_callers() -> None:
    assert cause([batch(TYPED, typed())], "off") is Cause.WITHHELD
    assert cause([], "positions") is Cause.NO_CAPTURE
    assert isinstance(extract([batch(TYPED, typed())], "password", mode="positions", minimum=5), Absence)
    assert isinstance(extract([batch(TYPED[:1], typed())], "password", mode="positions", minimum=0), Probe)


def test_summary_takes_the_21_numbers_and_no_rows() -> None:
    sent = list(range(100, 310, 10))
    found = probe([batch([], typed(s=sent, n=2))], mode="summary")
    assert found.values.tolist() == [tick / 10 for tick in sent]
    assert (found.layout, len(found.labels), found.kinds.tolist()) == (
        "summary",
        21,
        [0] * 7 + [1] * 7 + [2] * 7,
    )
    assert found.labels[0] == "hold q10"
    assert found.labels[-1] == "up-down spread"
    assert cause([batch(TYPED, typed(s=sent, n=1))], "summary") is Cause.WITHHELD
    assert cause([batch([], typed())], "summary") is Cause.WITHHELD
    assert cause([batch([], FieldState(0, Provenance.PASTED))], "summary") is Cause.PASTED


def test_summarize_known_answer() -> None:
    numbers = keystroke.summarize(np.array([80.0, 90, 100, 110, 120]), np.array([200.0] * 5))
    np.testing.assert_allclose(numbers[:7], [84, 90, 100, 110, 116, 100, 12])
    np.testing.assert_allclose(numbers[7:14], [200] * 6 + [0])
    np.testing.assert_allclose(numbers[14:], [84, 90, 100, 110, 116, 100, 12])


def test_from_timings_is_what_a_browser_would_send() -> None:
    hold, down_down = np.array([90.0, 80, 100, 70]), np.array([150.0, 200, 120, 300])
    made = keystroke.from_timings("password", hold, down_down)
    sent = probe([batch(TYPED, typed())])
    assert made.values.tolist() == sent.values.tolist()
    assert made.labels == sent.labels
    for bad in ((hold, down_down[:3]), (hold[:0], down_down[:0]), (hold[None], down_down[None])):
        with pytest.raises(ValueError, match=r"shape|need"):
            keystroke.from_timings("password", *bad)


def test_span_counts_inside_pages_only() -> None:
    one = batch(TYPED, t=10**9)
    two = batch(TYPED[:2], seq=1, page=1, t=5)
    assert keystroke.span_ms([one]) == 770.0
    assert keystroke.span_ms([two, one]) == 770.0 + 230.0
    assert keystroke.span_ms([batch([])]) == 0.0
    assert keystroke.span_ms([]) == 0.0


# Every batch the wire accepts -------------------------------------------------------------------------------------

NAMES = st.lists(st.sampled_from(["username", "password"]), max_size=2, unique=True)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    names = draw(NAMES)
    row = st.tuples(
        st.integers(0, len(names) - 1) if names else st.nothing(),
        st.sampled_from(list(KeyClass)),
        st.integers(0, 4000) | st.integers(0, MAX_TICKS // 30),
        st.integers(-1, 2000) | st.integers(-1, 600_000),
    )
    state = st.builds(
        FieldState,
        st.integers(0, len(names) - 1) if names else st.nothing(),
        st.sampled_from(list(Provenance)),
        st.integers(0, 1),
        s=st.none() | st.lists(st.integers(-MAX_TICKS, MAX_TICKS), min_size=21, max_size=21),
        n=st.none() | st.integers(1, 4),
    )
    return batch(
        draw(st.lists(row, max_size=12)) if names else [],
        f=names,
        s=draw(st.lists(state, max_size=2)) if names else [],
        seq=draw(st.integers(0, 9)),
        page=draw(st.integers(0, 3)),
        q=draw(st.integers(1, 120)),
        t=draw(st.integers(0, 10**6) | st.integers(0, 2**40)),
    )


CAPTURES = st.lists(batches(), max_size=5)
MODES = st.sampled_from(["positions", "summary", "off"])
FIELDS = st.sampled_from(["username", "password"])


def same(one: Probe | Absence, two: Probe | Absence) -> bool:
    if isinstance(one, Absence) or isinstance(two, Absence):
        return one == two
    return one.labels == two.labels and np.array_equal(one.values, two.values, equal_nan=True)


@given(CAPTURES, FIELDS, MODES)
@settings(max_examples=300, deadline=None)
def test_never_raises_and_always_fits(capture: list[Batch], field: str, mode: keystroke.Mode) -> None:
    found = extract(capture, field, mode=mode)
    assert found.field == field
    assert keystroke.span_ms(capture) >= 0.0
    keystroke.provenance(capture, field)
    if isinstance(found, Probe):
        assert found.values.shape == found.kinds.shape == (len(found.labels),)
        assert not np.isinf(found.values).any()
        assert found.layout == mode


@given(CAPTURES, FIELDS, MODES, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_arrival_does_not_matter(capture: list[Batch], field: str, mode: Any, random: Any) -> None:
    unique = list({each.seq: each for each in capture}.values())
    shuffled = unique.copy()
    random.shuffle(shuffled)
    assert same(extract(unique, field, mode=mode), extract(shuffled, field, mode=mode))
    assert keystroke.span_ms(unique) == pytest.approx(keystroke.span_ms(shuffled))


@given(CAPTURES, FIELDS, st.integers(0, 10**9))
@settings(deadline=None)
def test_only_differences_of_time_matter(capture: list[Batch], field: str, later: int) -> None:
    moved = [
        Batch(**{name: getattr(each, name) for name in each.__struct_fields__} | {"t": each.t + later})
        for each in capture
    ]
    one, two = (extract(each, field, mode="positions") for each in (capture, moved))
    assert same(one, two)
