"""``python -m sidecar.demo.keycloak``, which ``make demo-keycloak`` runs. It needs a checkout: the jar is built there."""

from pathlib import Path
from typing import Annotated

import typer

from sidecar.demo.keycloak.launch import run_demo
from sidecar.demo.keycloak.layout import Shore
from sidecar.demo.keycloak.server import unpacked
from sidecar.errors import GaitkeeperError

DEFAULT_CACHE = Path(".make/keycloak")
DEFAULT_JAR = Path("idp_adapters/resources/keycloak/target/gaitkeeper-keycloak.jar")


def main(
    port: Annotated[int, typer.Option(max=65532, help="Port of the sidecar; the next three are used, too.")] = 8810,
    state: Annotated[Path, typer.Option(help="Directory for keys and databases.")] = Path(".gaitkeeper/keycloak"),
    version: Annotated[str, typer.Option(help="Version of Keycloak.")] = "26.7.3",
    cache: Annotated[Path, typer.Option(help="Where the server is kept.")] = DEFAULT_CACHE,
    jar: Annotated[Path, typer.Option(help="The provider, as make keycloak-jar builds it.")] = DEFAULT_JAR,
) -> None:
    """Run Keycloak, a sidecar and a demo application on a fresh realm."""
    try:
        home = unpacked(cache.resolve(), version, jar, name="demo")
        run_demo(Shore(state, port), home)
    except GaitkeeperError as failed:
        typer.echo(f"{failed.code}: {failed.message}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
