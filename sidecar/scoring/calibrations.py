"""Calibrations of the detectors: by detector and layout, constants with where they come from.

Each was printed by ``python -m sidecar.evaluation.fit_calibration`` and put here by a person.
"""

from dataclasses import dataclass

from sidecar.domain.biometrics import Layout


@dataclass(frozen=True, slots=True)
class Calibration:
    """Constants of one layout: llr = (s0 + sf F + sn N + sm M) distance - (o0 + of F + on N + om M), then limited to +-6.

    F = ln(features / 30) and N = ln(samples / 10), each held inside the fitted range; features are counted as if all three
    kinds were there (``contract.Mix``), and M is the share of holds less a half. Below the range the LLR fades to 0 in
    proportion. ``mix``: sm and om. ``aging``: what a template of few samples from one sitting is worth later
    (``calibration.aged``): shift, shift by age, loss by age. ``provenance``: data set, subjects, repetitions, protocol and
    command.
    """

    slope: tuple[float, float, float]
    offset: tuple[float, float, float]
    feature_range: tuple[int, int]
    provenance: str
    mix: tuple[float, float] = (0.0, 0.0)
    aging: tuple[float, float, float] = (0.0, 0.0, 0.0)


FIRST_PROTOCOL = (
    "CMU DSL-StrongPassword (Killourhy & Maxion 2009), 51 subjects, repetitions 1-200 only. Templates of 3 to"
    " 100 samples ending at repetitions 30, 50, 80, 100, 130, 150 and 180; genuine: the next 5; impostors: every"
    " other subject's repetitions 1, 3, 5, 160, 180, 200."
    " `python -m sidecar.evaluation.fit_calibration --data cmu --json out`. "
)

SECOND_PROTOCOL = (
    "CMU DSL-StrongPassword (Killourhy & Maxion 2009), 51 subjects, repetitions 1-200 only, and MEU-Mobile KSD 2016, 56"
    " subjects, repetitions 6-35 only. Templates of 2 to 150 samples, first ones, later ones and of several days; as typed,"
    " shorter, longer, with other holds and paces, and with kinds missing."
    " `python -m sidecar.evaluation.fit_second --data cmu --touch meu --json out`. "
)

COARSE_PROTOCOL = (
    "CMU DSL-StrongPassword (Killourhy & Maxion 2009), 51 subjects, repetitions 1-200 only. Templates of 5, 10 and 30"
    " samples ending at repetitions 50, 100 and 150; genuine: the next 5, and the 5 that begin 50 repetitions later;"
    " impostors: every other subject's repetitions 1, 3, 5, 160, 180, 200."
    " `python -m sidecar.evaluation.fit_calibration --data cmu --detector NAME --json out`. "
)

CALIBRATIONS: dict[str, dict[Layout, Calibration]] = {
    "nearest-recent-2": {
        "positions": Calibration(
            slope=(1.162, 0.517, 0.098),
            offset=(45.467, 20.427, 2.833),
            feature_range=(10, 62),
            provenance=f"{SECOND_PROTOCOL}Constants of each half of the subjects on the other half, Cllr: templates of 100"
            " samples .212 (minimum .187), ECE .032 and .218 (minimum .209), ECE .012;"
            " of 10 later ones .263 (minimum .206), ECE .057 and .234 (minimum .214), ECE .026."
            " Aging: CMU repetitions 1-200 and MEU-Mobile KSD"
            " 2016, templates of 3 to 20 samples of one sitting, `python -m sidecar.evaluation.fit_aging`.",
            mix=(0.463, 19.328),
            aging=(0.0, -0.413, 0.0),
        ),
        "summary": Calibration(
            slope=(0.958, 0.0, 0.086),
            offset=(12.18, 0.0, 0.665),
            feature_range=(21, 21),
            provenance=f"{SECOND_PROTOCOL}The 21 numbers of the ten characters, CMU alone. Constants of each half of the"
            " subjects on the other half, Cllr: templates of 10 later samples"
            " .464 (minimum .424), ECE .059 and .462 (minimum .413), ECE .073.",
        ),
    },
    "nearest-recent-1": {
        "positions": Calibration(
            slope=(7.918, 3.203, 0.413),
            offset=(12.275, 5.328, -0.006),
            feature_range=(12, 48),
            provenance=f"{FIRST_PROTOCOL}Spans of 4, 6, 8 and 10 keys, and 16 keys joined from two repetitions. Subjects"
            " out of fold: Cllr .400 (minimum .396), ECE .013 over all sizes; .334 (.317), .028 at 10 keys and 10"
            " samples.",
        ),
        "summary": Calibration(
            slope=(3.969, 0.0, 0.200),
            offset=(6.246, 0.0, -0.222),
            feature_range=(21, 21),
            provenance=f"{FIRST_PROTOCOL}The 21 numbers of the ten characters. Subjects out of fold: Cllr .523 (minimum"
            " .519), ECE .010; .520 (.507), .027 at 10 samples.",
        ),
    },
    "local-outlier-factor-1": {
        "positions": Calibration(
            slope=(2.768, 1.056, 0.0),
            offset=(4.563, 1.646, 0.336),
            feature_range=(18, 30),
            provenance=f"{COARSE_PROTOCOL}Spans of 6 and 10 keys. Subjects out of fold: Cllr .695"
            " (minimum .668), ECE .057.",
        ),
        "summary": Calibration(
            slope=(2.119, 0.0, 0.093),
            offset=(3.691, 0.0, 0.269),
            feature_range=(21, 21),
            provenance=f"{COARSE_PROTOCOL}The 21 numbers of the ten characters. Subjects out of fold: Cllr .675"
            " (minimum .663), ECE .032.",
        ),
    },
    "ledoit-wolf-1": {
        "positions": Calibration(
            slope=(1.919, 0.67, 0.345),
            offset=(4.438, 1.64, 0.043),
            feature_range=(18, 30),
            provenance=f"{COARSE_PROTOCOL}Spans of 6 and 10 keys. Subjects out of fold: Cllr .640"
            " (minimum .612), ECE .053.",
        ),
        "summary": Calibration(
            slope=(1.543, 0.0, 0.514),
            offset=(3.331, 0.0, 0.196),
            feature_range=(21, 21),
            provenance=f"{COARSE_PROTOCOL}The 21 numbers of the ten characters. Subjects out of fold: Cllr .656"
            " (minimum .645), ECE .026.",
        ),
    },
    "autoencoder-1": {
        "positions": Calibration(
            slope=(0.353, 0.138, 0.049),
            offset=(2.716, 1.416, 0.09),
            feature_range=(18, 30),
            provenance=f"{COARSE_PROTOCOL}Spans of 6 and 10 keys. Subjects out of fold: Cllr .650"
            " (minimum .603), ECE .074.",
        ),
        "summary": Calibration(
            slope=(0.266, 0.0, 0.066),
            offset=(1.604, 0.0, -0.047),
            feature_range=(21, 21),
            provenance=f"{COARSE_PROTOCOL}The 21 numbers of the ten characters. Subjects out of fold: Cllr .676"
            " (minimum .642), ECE .059.",
        ),
    },
    "one-class-svm-1": {
        "positions": Calibration(
            slope=(2.206, 0.683, 0.336),
            offset=(6.386, 2.439, 0.741),
            feature_range=(18, 30),
            provenance=f"{COARSE_PROTOCOL}Spans of 6 and 10 keys. Subjects out of fold: Cllr .601"
            " (minimum .568), ECE .062.",
        ),
        "summary": Calibration(
            slope=(1.671, 0.0, 0.344),
            offset=(4.365, 0.0, 0.547),
            feature_range=(21, 21),
            provenance=f"{COARSE_PROTOCOL}The 21 numbers of the ten characters. Subjects out of fold: Cllr .636"
            " (minimum .623), ECE .029.",
        ),
    },
    "isolation-forest-1": {
        "positions": Calibration(
            slope=(28.134, 9.09, 0.0),
            offset=(15.445, 4.825, -0.205),
            feature_range=(18, 30),
            provenance=f"{COARSE_PROTOCOL}Spans of 6 and 10 keys. Subjects out of fold: Cllr .791"
            " (minimum .781), ECE .033.",
        ),
        "summary": Calibration(
            slope=(18.567, 0.0, 0.0),
            offset=(10.574, 0.0, 0.029),
            feature_range=(21, 21),
            provenance=f"{COARSE_PROTOCOL}The 21 numbers of the ten characters. Subjects out of fold: Cllr .850"
            " (minimum .841), ECE .035.",
        ),
    },
    "gaussian-mixture-1": {
        "positions": Calibration(
            slope=(1.705, 0.562, 0.143),
            offset=(4.624, 1.605, -0.102),
            feature_range=(18, 30),
            provenance=f"{COARSE_PROTOCOL}Spans of 6 and 10 keys. Subjects out of fold: Cllr .646"
            " (minimum .610), ECE .065.",
        ),
        "summary": Calibration(
            slope=(1.319, 0.0, 0.192),
            offset=(3.499, 0.0, 0.051),
            feature_range=(21, 21),
            provenance=f"{COARSE_PROTOCOL}The 21 numbers of the ten characters. Subjects out of fold: Cllr .642"
            " (minimum .632), ECE .022.",
        ),
    },
}
