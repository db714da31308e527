"""The list of earlier entries: bounded, half as precise as a float, and no length of a password in its size."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.world import rows_of

from sidecar.domain import entries as lists
from sidecar.domain.biometrics import Probe
from sidecar.domain.entries import Ended, Entries, Entry
from sidecar.evaluation.synthetic import probe_of
from sidecar.features.keystroke import from_timings
from sidecar.keyring import Seal
from sidecar.storage.arrays import pack_entries, unpack_entries


def entry(number: int, length: int = 10, llr: float | None = -1.0, model: str = "m", at: float | None = None) -> Entry:
    probe = probe_of(rows_of(7, number, length))
    return Entry("password", "keyboard", probe, 1000.0 + number if at is None else at, llr, model)


def filled(*numbers: int, length: int = 10) -> Entries:
    made = lists.nothing()
    for number in numbers:
        made = lists.added(made, entry(number, length))
    return made


@given(st.lists(st.tuples(st.booleans(), st.integers(4, 70)), max_size=30))
@settings(deadline=None, max_examples=40)
def test_what_is_packed_comes_back(steps: list[tuple[bool, int]]) -> None:
    made = lists.nothing()
    for number, (stored, length) in enumerate(steps):
        made = (lists.learned if stored else lists.added)(made, entry(number, min(length, 64)))
    back = unpack_entries(pack_entries(made))
    for name in ("at", "ended", "stored", "length", "hold", "down_down"):
        np.testing.assert_array_equal(getattr(back, name), getattr(made, name))
    np.testing.assert_allclose(back.llr, made.llr, rtol=1e-6)


def test_the_newest_200_and_300_stored_ones_are_kept() -> None:
    made = lists.nothing()
    for number in range(350):
        made = lists.learned(made, entry(number))
    assert len(made) == lists.STORED
    for number in range(400, 650):
        made = lists.added(made, entry(number))
    assert (int(made.stored.sum()), int((1 - made.stored).sum())) == (lists.STORED, lists.ATTEMPTS)
    assert made.at.min() == 1050.0


def test_the_last_ten_that_a_second_factor_confirmed_outlive_the_window() -> None:
    """What a profile is compared with for drift must not be pushed out by unconfirmed logins."""
    made = lists.nothing()
    for number in (*range(12), *range(100, 450)):
        made = lists.added(made, entry(number))
        made = lists.ended(made, 1000.0 + number, Ended.CONFIRMED if number < 12 else Ended.ALLOWED)
        made = lists.learned(made, entry(number))
    assert made.at[made.ended == Ended.CONFIRMED].tolist() == [1000.0 + number for number in range(2, 12)]
    assert len(made) == lists.STORED + lists.ANCHORS


def test_other_lengths_push_nothing_out_that_could_be_compared() -> None:
    """Else whoever has the password could send one odd capture, then the recording."""
    made = filled(*range(10))
    made = lists.added(made, entry(11, 40))
    assert made.like(10)[0].shape == (10, 10)
    assert made.like(40)[0].shape == (1, 40)
    assert made.like(64)[0].shape == (0, 64)


def test_a_learned_entry_is_marked_and_not_kept_twice() -> None:
    made = lists.learned(filled(1, 2, 3), entry(2))
    assert made.stored.tolist() == [0, 1, 0]
    assert lists.learned(made, entry(9)).ended.tolist()[-1] == Ended.IMPORTED


def test_accepted_scores_are_of_logins_that_succeeded_and_of_one_model() -> None:
    made = filled(1, 2, 3, 4)
    for number, how in ((1, Ended.ALLOWED), (2, Ended.CONFIRMED), (3, Ended.NOT)):
        made = lists.ended(made, 1000.0 + number, how)
    assert made.accepted("m").size == 2
    assert made.accepted("another").size == 0
    changed = lists.added(made, entry(5, model="another"))
    assert changed.accepted("m").size == 0
    assert np.isnan(changed.llr[:4]).all()
    assert lists.taken_back(made, 1002.0).accepted("m").size == 1


def test_timings_beyond_what_half_precision_holds_are_missing() -> None:
    long = from_timings("password", np.array([80.0, 90.0, 1e9, 70.0]), np.array([100.0, 120.0, 130.0, np.nan]))
    made = lists.added(lists.nothing(), replace(entry(1), probe=long))
    assert np.isnan(made.hold[0, 2])
    assert np.isfinite(made.hold[0, :2]).all()


def test_the_size_does_not_tell_a_passwords_length() -> None:
    """Up to 16 characters, and again up to 32."""
    seal = Seal(bytes(32))
    sizes = {
        length: len(seal.close(pack_entries(filled(*range(150), length=length)), "entries"))
        for length in (5, 12, 16, 17, 32)
    }
    assert sizes[5] == sizes[12] == sizes[16]
    assert sizes[17] == sizes[32]


def test_when_the_newest_samples_were_typed() -> None:
    made = lists.nothing()
    for number in (3, 1, 2, 5):
        made = lists.learned(made, entry(number))
    made = lists.added(made, entry(9))  # not a sample
    assert made.typed(3).tolist() == [1002.0, 1003.0, 1005.0]
    assert made.typed(30).tolist() == [1001.0, 1002.0, 1003.0, 1005.0]
    assert lists.nothing().typed(3).size == 0


def test_a_summary_is_kept_without_timings() -> None:
    summary = Probe("password", "summary", np.arange(21.0), np.zeros(21, np.uint8), ("",) * 21)
    made = lists.added(lists.nothing(), replace(entry(1), probe=summary))
    assert (len(made), made.length.tolist()) == (1, [0])
    assert np.isnan(made.hold).all()
