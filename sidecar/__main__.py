"""``python -m sidecar`` is the ``gaitkeeper`` command."""

from sidecar.cli import main

main()
