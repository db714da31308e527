"""Words of free text as sets in the event layout: other texts than a password, by the same people again and again.

    python -m benchmarks.words --data DIR/keystroke/hofstra --out words
    gaitkeeper evaluate keystroke --data words --setting first-10

Reads files ``CONTEXT_USER.csv`` of rows ``P or R, key, time in ns`` (the Hofstra set; AlvinKuruvilla/keystroke-data) and writes
one CSV a word. A word counts where its keys and the spaces named with it come one after the other within three seconds; the
contexts are the sessions, in the order of their names. Nothing of ours is fitted on this set.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

WORDS = (" the ", "the ", "and ", "ing ")
SPACE = "Key.space"
LONGEST_NS = 3_000_000_000
HEADER = "subject,session,rep,key_index,press_s,release_s"

Stroke = tuple[str, int, int]
"""Key, press and release in ns."""


def strokes(rows: Iterator[Sequence[str]]) -> list[Stroke]:
    """Pair presses with releases, in order of presses. A key that is never released is left out; so is its repetition."""
    pressed: dict[str, int] = {}
    found = []
    for kind, quoted, at in (row for row in rows if len(row) == 3):
        key = quoted.strip("'").lower() if len(quoted.strip("'")) == 1 else quoted.strip("'")
        if kind == "P":
            pressed.setdefault(key, int(at))
        elif key in pressed:
            found.append((key, pressed.pop(key), int(at)))
    return sorted(found, key=lambda stroke: stroke[1])


def occurrences(typed: Sequence[Stroke], word: str) -> Iterator[Sequence[Stroke]]:
    """Every place where the word was typed without a pause or a correction."""
    keys = [SPACE if letter == " " else letter for letter in word]
    for start in range(len(typed) - len(keys) + 1):
        here = typed[start : start + len(keys)]
        if [key for key, _, _ in here] == keys and here[-1][1] - here[0][1] < LONGEST_NS:
            yield here


def events(files: Sequence[Path], word: str) -> list[str]:
    """Return the lines of a word's set."""
    contexts = sorted({file.stem.partition("_")[0] for file in files})
    lines, repetitions = [HEADER], Counter[str]()
    for file in files:
        context, _, user = file.stem.partition("_")
        with file.open(newline="", encoding="utf-8") as text:
            typed = strokes(csv.reader(text, quotechar="\0"))
        for here in occurrences(typed, word):
            repetitions[user] += 1
            for index, (_, press, release) in enumerate(here):
                begun, ended = (press - here[0][1]) / 1e9, (release - here[0][1]) / 1e9
                lines.append(
                    f"{user},{contexts.index(context) + 1},{repetitions[user]},{index},{begun:.4f},{ended:.4f}"
                )
    return lines


def main() -> None:
    """Write a file a word."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the set")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    files = sorted(chosen.data.glob("*_*.csv"))
    if not files:
        parser.error(f"{chosen.data}: no CONTEXT_USER.csv in it")
    chosen.out.mkdir(parents=True, exist_ok=True)
    for word in WORDS:
        name = word.replace(" ", "_")
        (chosen.out / f"{name}.csv").write_text("\n".join(events(files, word)) + "\n")


if __name__ == "__main__":
    main()
