"""Words cut out of free text for ``evaluate keystroke``."""

from pathlib import Path

from benchmarks.words import HEADER, events, occurrences, strokes

TYPED = [
    ("P", "'T'", "0"), ("P", "'h'", "100000000"), ("R", "'t'", "120000000"), ("R", "'h'", "180000000"),
    ("P", "'e'", "300000000"), ("P", "'e'", "310000000"), ("R", "'e'", "350000000"), ("P", "Key.space", "400000000"),
    ("R", "Key.space", "480000000"), ("R", "'x'", "500000000"), ("P", "'t'", "600000000"), ("P", "'h'", "700000000"),
]  # fmt: skip


def test_presses_are_paired_with_releases_in_order_of_presses() -> None:
    found = strokes(iter(TYPED))
    assert [key for key, _, _ in found] == ["t", "h", "e", "Key.space"]  # rollover, a repeating key, keys left down
    assert found[0][1:] == (0, 120_000_000)
    assert found[2][1:] == (300_000_000, 350_000_000)


def test_a_word_is_found_where_nothing_is_between_its_keys() -> None:
    typed = strokes(iter(TYPED))
    assert len(list(occurrences(typed, "the "))) == 1
    assert not list(occurrences(typed, "te "))
    slow = [(key, press * 10, release * 10) for key, press, release in typed]
    assert not list(occurrences(slow, "the "))


def test_the_set_is_one_that_the_command_reads(tmp_path: Path) -> None:
    for context in ("f", "t"):
        (tmp_path / f"{context}_ann.csv").write_text("\n".join(map(",".join, TYPED)))
    lines = events(sorted(tmp_path.glob("*.csv")), "the ")
    assert lines[0] == HEADER
    assert lines[1] == "ann,1,1,0,0.0000,0.1200"
    assert lines[5] == "ann,2,2,0,0.0000,0.1200"
    assert len(lines) == 9
