"""Where the files that are not Python live: inside the wheel, or in the checkout while developing."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent


def widget_directory() -> Path:
    """Return the directory of the built widget."""
    packaged = _PACKAGE / "resources" / "widget"
    return packaged if packaged.is_dir() else _CHECKOUT / "widget" / "dist"


def policy_directory() -> Path:
    """Return the directory of the shipped policies."""
    packaged = _PACKAGE / "resources" / "policies"
    return packaged if packaged.is_dir() else _CHECKOUT / "policies"
