"""Constants of ``nearest-recent-2``. Put here by a person from the output of ``sidecar.evaluation.fit_calibration``."""

from sidecar.scoring.form import Form

CONSTANTS = Form(
    scale={
        "positions": (0.0165, 0.0516, 0.2355, 0.3614, 0.149),
        "summary": (0.0096, 0.037, 0.1733, 0.3614, 0.149),
    },
    hold={"positions": (0.2922, 0.041), "summary": (0.2905, 0.0416)},
    weights={
        "positions": (9.747, 4.282, 0.965, 1.651),
        "summary": (5.865, 0.0, 0.148, 0.0),
    },
    provenance="CMU DSL-StrongPassword (Killourhy & Maxion 2009), 51 subjects, repetitions 1-200 only; spreads of pressure"
    " and size: MEU-Mobile KSD 2016, 56 subjects, repetitions 6-35."
    " `python -m sidecar.evaluation.fit_calibration --data cmu --touch meu --json out`",
)
