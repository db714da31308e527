"""``python -m idp_adapters.demo idp|app --settings FILE`` serves one site on its URL's port."""

import argparse
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from idp_adapters.demo.app import create_app
from idp_adapters.demo.idp import create_idp
from idp_adapters.demo.seed import seed
from idp_adapters.demo.settings import load_settings


def main() -> None:
    """Parse the command line and serve until interrupted. The provider seeds its users first."""
    parser = argparse.ArgumentParser(prog="python -m idp_adapters.demo", description=__doc__)
    parser.add_argument("site", choices=["idp", "app"])
    parser.add_argument("--settings", type=Path, required=True, help="JSON file, see settings.py")
    arguments = parser.parse_args()
    settings = load_settings(arguments.settings)
    if arguments.site == "idp":
        seed(settings)
        app, url = create_idp(settings), settings.idp_url
    else:
        app, url = create_app(settings), settings.app_url
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, server_header=False)


if __name__ == "__main__":
    main()
