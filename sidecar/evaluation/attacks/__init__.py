"""``gaitkeeper evaluate attacks``: what software and replays reach, with and without the checks against them.

``make`` invents the attacks, ``check`` applies ``sidecar.features.liveness``, ``measure`` plays them against everybody,
``poison`` lets impostors wear a template down, ``command`` prints.
"""
