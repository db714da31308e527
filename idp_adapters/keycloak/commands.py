"""``gaitkeeper keycloak``: the commands as the command line shows them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:
    from idp_adapters.keycloak.choices import Choices

keycloak = typer.Typer(no_args_is_help=True, help="Connect a Keycloak realm with a sidecar.")

Server = Annotated[str, typer.Option(help="Base URL of Keycloak, as an administrator reaches it.")]
Realm = Annotated[str, typer.Option(help="The realm to connect.")]
Keys = Annotated[Path, typer.Option(help="Directory for the realm's key and its public half.")]
User = Annotated[str, typer.Option(envvar="GAITKEEPER_KEYCLOAK_USER", help="Name of the set-up account.")]
Password = Annotated[
    str, typer.Option(envvar="GAITKEEPER_KEYCLOAK_PASSWORD", prompt=True, hide_input=True, help="Its password.")
]
UserRealm = Annotated[str, typer.Option(help="Realm of the set-up account.")]
ReplaceFlow = Annotated[bool, typer.Option("--replace-flow", help="Put custom flows out of use.")]
WholeRealm = Annotated[bool, typer.Option("--whole-realm", help="Bind everybody, where only some clients were bound.")]
RecordFile = Annotated[Path | None, typer.Option(help="File that keeps what was changed; by default beside the keys.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Install without asking.")]

# What the realm remembers: None is nothing said. The defaults are those of ``Choices``.
Sidecar = Annotated[str | None, typer.Option(help="base_url of the sidecar; needed the first time.")]
Reach = Annotated[str | None, typer.Option(help="Where Keycloak reaches the sidecar, if not at its base_url.")]
Issuer = Annotated[str | None, typer.Option(help="The realm's issuer; by default what its discovery document says.")]
Client = Annotated[list[str] | None, typer.Option(help="Bind the flow to this client only; may be repeated.")]
UsernameFirst = Annotated[
    bool | None, typer.Option("--username-first/--one-page", help="Ask for the user name on a page of its own.")
]
KeepTheme = Annotated[
    bool | None, typer.Option("--keep-theme/--replace-theme", help="What becomes of a custom login theme.")
]
Brokers = Annotated[
    bool | None, typer.Option("--brokers/--no-brokers", help="Decide after logins by other providers, too.")
]
Registration = Annotated[
    bool | None, typer.Option("--registration/--no-registration", help="Start profiles at the registration form.")
]
DirectGrant = Annotated[
    bool | None, typer.Option("--direct-grant/--no-direct-grant", help="Decide at password grants, too.")
]
Levels = Annotated[
    bool | None, typer.Option("--levels/--no-levels", help="Let applications demand a second factor by acr.")
]
AdminRevocation = Annotated[
    bool | None,
    typer.Option(
        "--admin-revocation/--no-admin-revocation", help="Make an account with which the sidecar ends sessions itself."
    ),
]
FailMode = Annotated[str | None, typer.Option(help="Without an answer: open, challenge or closed.")]
Without = Annotated[str | None, typer.Option(help="A challenge for users without second factor: allow or deny.")]
Deadline = Annotated[int | None, typer.Option(min=20, max=2000, help="Longest wait of a login for the sidecar.")]
ConsentVersion = Annotated[str | None, typer.Option(help="Version of the notice; a new one asks everybody again.")]
SecretFields = Annotated[str | None, typer.Option(help="What leaves the password's field: positions, summary or off.")]
Transport = Annotated[str | None, typer.Option(help="How typing travels: form, or direct (to the sidecar as well).")]

Endpoint = Annotated[str | None, typer.Option(help="Where pages reach the sidecar, if not at its base_url.")]

WORDS = {
    "fail_mode": ("open", "challenge", "closed"),
    "without_second_factor": ("allow", "deny"),
    "secret_fields": ("positions", "summary", "off"),
    "transport": ("form", "direct"),
}
URLS = ("sidecar", "reach", "issuer", "endpoint")


def _command(*, make: bool) -> Callable[..., None]:
    """Return the command: plan and install take the same options, so that a plan is what the installation does."""

    def command(
        realm: Realm,
        user: User,
        password: Password,
        server: Server = "http://localhost:8080",
        keys: Keys = Path("keycloak-keys"),
        user_realm: UserRealm = "master",
        replace_flow: ReplaceFlow = False,
        whole_realm: WholeRealm = False,
        record: RecordFile = None,
        yes: Yes = False,
        sidecar: Sidecar = None,
        reach: Reach = None,
        issuer: Issuer = None,
        client: Client = None,
        username_first: UsernameFirst = None,
        keep_theme: KeepTheme = None,
        brokers: Brokers = None,
        registration: Registration = None,
        direct_grant: DirectGrant = None,
        levels: Levels = None,
        admin_revocation: AdminRevocation = None,
        fail_mode: FailMode = None,
        without_second_factor: Without = None,
        deadline_ms: Deadline = None,
        consent_version: ConsentVersion = None,
        secret_fields: SecretFields = None,
        transport: Transport = None,
        endpoint: Endpoint = None,
    ) -> None:
        told = locals()
        from idp_adapters.keycloak.admin import AdminApi
        from idp_adapters.keycloak.choices import Choices
        from idp_adapters.keycloak.install import Wishes, connect

        given = {item.name: told[item.name] for item in fields(Choices) if item.name in told}
        given["clients"] = tuple(client or ())
        _check({**given, "server": server})
        given |= {name: given[name].rstrip("/") for name in URLS if given[name]}
        wishes = Wishes(keys=keys, given=given, replace_flow=replace_flow, whole_realm=whole_realm)
        file = record or keys / f"{realm}-changes.jsonl"
        with AdminApi(server, realm, user=user, password=password, user_realm=user_realm) as api:
            typer.echo(f"Plan for realm {realm} at {server}:")
            changes, _ = connect(api, wishes, file, make=False, say=typer.echo)
            typer.echo(f"{changes} changes." if changes else "Nothing to change.")
            if not make or not changes:
                return
            if not yes:
                typer.confirm("Make them?", abort=True)
            _, choices = connect(api, wishes, file, make=True, say=typer.echo)
        typer.echo(f"Done. What was changed, with the old values: {file}\n{next_steps(realm, keys, choices)}")

    return command


def next_steps(realm: str, keys: Path, choices: "Choices") -> str:
    """Return what is left to do after an installation, with the sidecar's settings."""
    address = urlsplit(choices.issuer)
    end = f"{choices.issuer}/gaitkeeper/sessions/end"
    if choices.admin_revocation:
        end = choices.issuer.replace("/realms/", "/admin/realms/")
    return f"""Now, if this is the first time:
  1. Give {keys}/{realm}.jwk to the Keycloak server: conf/gaitkeeper/{realm}.jwk, readable by it alone.
  2. Tell the sidecar in gaitkeeper.toml, and start it:
       base_url = "{choices.sidecar}"
       deadline_ms = {inside(choices.deadline_ms)}  # inside the {choices.deadline_ms} ms that a login waits

       [[idps]]
       tenant = "{realm}"
       issuer = "{choices.issuer}"
       adapter = "keycloak"
       jwks_file = "{keys}/{realm}-jwks.json"
       site_key = "{realm}"
       origins = ["{address.scheme}://{address.netloc}"]
       secret_fields = "{choices.secret_fields}"
       revocation_url = "{end}"
  3. Run this again: it then also gives Keycloak the sidecar's public key."""


def inside(deadline_ms: int) -> int:
    """Return a deadline of the sidecar that leaves a fifth of the login's for the way: later answers reach nobody."""
    return max(20, deadline_ms * 4 // 5)


def _check(given: Mapping[str, Any]) -> None:
    """Raise BadParameter for what no realm could remember, before anything is asked or changed."""
    from idp_adapters.keycloak.choices import option

    for name, words in WORDS.items():
        if given[name] is not None and given[name] not in words:
            raise typer.BadParameter(f"{option(name)}: '{given[name]}' is none of {', '.join(words)}")
    for name in (*URLS, "server"):
        if given[name] is not None and not _is_url(str(given[name])):
            raise typer.BadParameter(f"{option(name)}: '{given[name]}' is no URL such as https://gate.example.org")
    version = given["consent_version"]
    if version is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", version):
        raise typer.BadParameter(f"--consent-version: '{version}' has more than letters, digits, dots and dashes")


def _is_url(text: str) -> bool:
    try:
        address = urlsplit(text)
        return address.scheme in ("http", "https") and bool(address.hostname) and (address.port or 1) > 0
    except ValueError:
        return False


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
        counted = counts(api)
    for name, value in counted.items():
        typer.echo(f"{name:<28}{value:>10}")
    if not counted:
        typer.echo("nothing was counted yet since the server started")
