"""``gaitkeeper evaluate keystroke``: public error rates of the detectors on anybody's fixed-text set.

``layouts`` and ``discovery`` read sets, ``plans`` says which repetitions take part in a setting, ``models``
and ``baselines`` are what is measured, ``play`` scores, ``figures`` counts, ``report`` draws.
"""
