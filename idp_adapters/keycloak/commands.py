"""``gaitkeeper keycloak``: the commands as the command line shows them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

keycloak = typer.Typer(no_args_is_help=True, help="Connect a Keycloak realm with a sidecar.")

Server = Annotated[str, typer.Option(help="Base URL of Keycloak, as an administrator reaches it.")]
Realm = Annotated[str, typer.Option(help="The realm to connect.")]
Sidecar = Annotated[str, typer.Option(help="base_url of the sidecar.")]
Reach = Annotated[str | None, typer.Option(help="Where Keycloak reaches the sidecar, if not at its base_url.")]
Issuer = Annotated[str | None, typer.Option(help="The realm's issuer; by default what its discovery document says.")]
Keys = Annotated[Path, typer.Option(help="Directory for the realm's key and its public half.")]
User = Annotated[str, typer.Option(envvar="GAITKEEPER_KEYCLOAK_USER", help="Name of the set-up account.")]
Password = Annotated[
    str, typer.Option(envvar="GAITKEEPER_KEYCLOAK_PASSWORD", prompt=True, hide_input=True, help="Its password.")
]
UserRealm = Annotated[str, typer.Option(help="Realm of the set-up account.")]
Client = Annotated[list[str] | None, typer.Option(help="Bind the flow to this client only; may be repeated.")]
UsernameFirst = Annotated[bool, typer.Option("--username-first", help="Ask for the user name on a page of its own.")]
ReplaceFlow = Annotated[bool, typer.Option("--replace-flow", help="Put a custom browser flow out of use.")]
Brokers = Annotated[bool, typer.Option("--brokers/--no-brokers", help="Decide after logins by other providers, too.")]
DirectGrant = Annotated[bool, typer.Option("--direct-grant", help="Decide at password grants, too.")]
Levels = Annotated[bool, typer.Option("--levels", help="Let applications demand a second factor by acr.")]
AdminRevocation = Annotated[
    bool, typer.Option("--admin-revocation", help="Make an account with which the sidecar ends sessions itself.")
]
FailMode = Annotated[str, typer.Option(help="Without an answer: open, challenge or closed.")]
Without = Annotated[str, typer.Option(help="A challenge for users without second factor: allow or deny.")]
Deadline = Annotated[int, typer.Option(min=20, max=2000, help="Longest wait of a login for the sidecar.")]
ConsentVersion = Annotated[str, typer.Option(help="Version of the notice; a new one asks everybody again.")]
RecordFile = Annotated[Path | None, typer.Option(help="File that keeps what was changed; by default beside the keys.")]


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Install without asking.")]


def _command(*, make: bool) -> Callable[..., None]:
    """Return the command: plan and install take the same options, so that a plan is what the installation does."""

    def command(
        realm: Realm,
        sidecar: Sidecar,
        user: User,
        password: Password,
        server: Server = "http://localhost:8080",
        reach: Reach = None,
        issuer: Issuer = None,
        keys: Keys = Path("keycloak-keys"),
        user_realm: UserRealm = "master",
        client: Client = None,
        username_first: UsernameFirst = False,
        replace_flow: ReplaceFlow = False,
        brokers: Brokers = True,
        direct_grant: DirectGrant = False,
        levels: Levels = False,
        admin_revocation: AdminRevocation = False,
        fail_mode: FailMode = "challenge",
        without_second_factor: Without = "allow",
        deadline_ms: Deadline = 250,
        consent_version: ConsentVersion = "1",
        record: RecordFile = None,
        yes: Yes = False,
    ) -> None:
        from idp_adapters.keycloak.admin import AdminApi, issuer_of
        from idp_adapters.keycloak.install import Wishes, connect

        decide = {
            "failMode": _one_of(fail_mode, ("open", "challenge", "closed")),
            "withoutSecondFactor": _one_of(without_second_factor, ("allow", "deny")),
            "deadlineMs": str(deadline_ms),
        }
        wishes = Wishes(
            sidecar=sidecar.rstrip("/"),
            issuer=issuer or issuer_of(server, realm),
            keys=keys,
            reach=reach.rstrip("/") if reach else None,
            clients=tuple(client or ()),
            username_first=username_first,
            replace_flow=replace_flow,
            brokers=brokers,
            direct_grant=direct_grant,
            levels=levels,
            admin_revocation=admin_revocation,
            consent_version=consent_version,
            decide=decide,
        )
        file = record or keys / f"{realm}-changes.jsonl"
        with AdminApi(server, realm, user=user, password=password, user_realm=user_realm) as api:
            typer.echo(f"Plan for realm {realm} at {server}:")
            changes = connect(api, wishes, file, make=False, say=typer.echo)
            typer.echo(f"{changes} changes." if changes else "Nothing to change.")
            if not make or not changes:
                return
            if not yes:
                typer.confirm("Make them?", abort=True)
            connect(api, wishes, file, make=True, say=typer.echo)
        typer.echo(NEXT.format(keys=keys, realm=realm, sidecar=wishes.sidecar, issuer=wishes.issuer, file=file))

    return command


NEXT = """Done. What was changed, with the old values: {file}
Now, if this is the first time:
  1. Give {keys}/{realm}.jwk to the Keycloak server: conf/gaitkeeper/{realm}.jwk, readable by it alone.
  2. Tell the sidecar in gaitkeeper.toml, and start it:
       [[idps]]
       tenant = "{realm}"
       issuer = "{issuer}"
       adapter = "keycloak"
       jwks_file = "{realm}-jwks.json"
       site_key = "{realm}"
       origins = ["(scheme and host of the login pages)"]
       revocation_url = "{issuer}/gaitkeeper/sessions/end"
  3. Run this again: it then also gives Keycloak the sidecar's public key."""

keycloak.command("plan", help="Say what install would change, and change nothing.")(_command(make=False))
keycloak.command("install", help="Print the plan, ask, and carry it out. Safe to run again.")(_command(make=True))


@keycloak.command("status")
def status(
    realm: Realm,
    user: User,
    password: Password,
    server: Server = "http://localhost:8080",
    user_realm: UserRealm = "master",
) -> None:
    """Print what the realm's plugin counted since the server started: decisions, their times, reports delivered and lost."""
    from idp_adapters.keycloak.admin import AdminApi, counts

    with AdminApi(server, realm, user=user, password=password, user_realm=user_realm) as api:
        for name, value in counts(api).items():
            typer.echo(f"{name:<28}{value:>10}")


def _one_of(value: str, words: tuple[str, ...]) -> str:
    if value not in words:
        raise typer.BadParameter(f"'{value}' is none of {', '.join(words)}")
    return value
