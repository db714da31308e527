"""Constants of ``nearest-recent-2``. Put here by a person from the output of ``sidecar.evaluation.fit_second``."""

from sidecar.scoring.form import Form

CONSTANTS = Form(
    scale={
        "positions": (0.056, 0.1099, 0.533, 0.3614, 0.149),
        "summary": (0.0401, 0.0819, 0.3982, 0.3614, 0.149),
    },
    hold={"positions": (-1.2302, 0.14, 0.0869), "summary": (-1.2361, 0.1424, 0.0907)},
    weights={
        "positions": (11.325, 3.605, 1.913, 1.441, 2.569, 1.104),
        "summary": (6.037, 0.0, 0.0, 0.615, 0.0, 0.0),
    },
    provenance="CMU DSL-StrongPassword (Killourhy & Maxion 2009), 51 subjects, repetitions 1-200 only; spreads of pressure"
    " and size, and part of what the weights rest on: MEU-Mobile KSD 2016, 56 subjects, repetitions 6-35."
    " `python -m sidecar.evaluation.fit_second --data cmu --touch meu --json out`",
)
