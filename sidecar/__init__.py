"""Gaitkeeper's sidecar: receives behaviour, scores it against enrolled profiles and answers an identity provider.

Rooms, from the inside out: ``domain`` (values), ``features`` and ``scoring`` (pure numbers), ``risk`` and ``policy``
(pure decisions), ``usecases`` (one login step each, over ``ports``), ``storage`` and ``idp_adapters`` (they implement ports),
``api`` (thin routes), ``main`` (the only place that names concrete parts), ``cli``.
"""

from importlib.metadata import version

__version__ = version("gaitkeeper")
