"""One realm with people in it, connected with a sidecar of its own by the product's own command."""

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import numpy as np
import pyotp
from playwright.sync_api import Error
from server import ADMIN, Server

from idp_adapters.keycloak.admin import AdminApi
from idp_adapters.keycloak.sessions import KeycloakSessions
from sidecar.config import Settings, load_settings
from sidecar.demo.launch import free_port
from sidecar.demo.layout import SYNTHETIC_TYPIST
from sidecar.demo.seeding import enroll, synthetic_login, synthetic_probes
from sidecar.evaluation.synthetic import Row, typist
from sidecar.main import Sidecar, build
from sidecar.ports import OutboxItem
from sidecar.rehearsal import keyboard
from sidecar.shipped import policy_directory
from sidecar.tokens import sign_request

APP_PORT = free_port()
APP = f"http://127.0.0.1:{APP_PORT}/callback"
USERNAME, PASSWORD, WHO, STRANGER = "amelia", "harbour-lantern", SYNTHETIC_TYPIST, 3
CHEAP = "hashAlgorithm(pbkdf2-sha256) and hashIterations(1)"  # a hundred logins at once, on two cores
OTP_SECRET = "tide-and-harbour-21"


AHEAD = """
import sys, time
now, ahead = time.time, float(sys.argv.pop(1))
time.time = lambda: now() + ahead
from sidecar.cli import main
main()
"""


def person(realm: str, username: str, *, otp: bool, **attributes: list[str]) -> dict[str, Any]:
    """Return a user for an import."""
    credentials = [{"type": "password", "value": PASSWORD}]
    if otp:
        how = '{"subType":"totp","digits":6,"period":30,"algorithm":"HmacSHA1"}'
        credentials.append({"type": "otp", "secretData": f'{{"value":"{OTP_SECRET}"}}', "credentialData": how})
    named = {"email": f"{username}@example.org", "firstName": username, "lastName": "Hart", "emailVerified": True}
    roles = [f"default-roles-{realm}"]
    account = {"username": username, "enabled": True, "realmRoles": roles, "credentials": credentials}
    return account | named | {"attributes": attributes}


def realm(name: str) -> dict[str, Any]:
    """Return a realm with clients of every fail mode, three who have agreed (Noel has no second factor), two never asked."""

    def client(client_id: str, **attributes: str) -> dict[str, Any]:
        return {
            "clientId": client_id,
            "publicClient": True,
            "redirectUris": [f"{APP}*"],
            "directAccessGrantsEnabled": True,
            "attributes": attributes,
        }

    return {
        "realm": name,
        "enabled": True,
        "attributes": {"acr.loa.map": '{"silver":1,"gold":2}'},
        "otpPolicyCodeReusable": True,
        "otpPolicyType": "totp",
        "otpPolicyAlgorithm": "HmacSHA1",
        "otpPolicyDigits": 6,
        "otpPolicyPeriod": 30,
        "otpPolicyInitialCounter": 0,
        "otpPolicyLookAheadWindow": 1,
        "passwordPolicy": CHEAP,
        "bruteForceProtected": True,
        "failureFactor": 2,
        "clients": [
            client(
                "app",
                **{
                    "backchannel.logout.url": f"http://127.0.0.1:{APP_PORT}/logout",
                    "backchannel.logout.session.required": "true",
                },
            ),
            client("side"),
            client("open", **{"gaitkeeper.failMode": "open"}),
            client("closed", **{"gaitkeeper.failMode": "closed"}),
            client("vault", **{"gaitkeeper.withoutSecondFactor": "deny"}),
        ],
        "users": [
            person(name, USERNAME, otp=True, gaitkeeper_consent=["given 1 1795270000"]),
            person(name, "dinah", otp=True, gaitkeeper_consent=["given 1 1795270000"]),
            person(name, "bruno", otp=False),
            person(name, "noel", otp=False, gaitkeeper_consent=["given 1 1795270000"]),
            person(name, "cora", otp=True),
        ],
    }


class Application(BaseHTTPRequestHandler):
    """Where logins end: it says hello, and keeps the logout tokens that it is sent."""

    logouts: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"arrived")

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.logouts += form["logout_token"]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@dataclass
class Stage:
    """The realm, the sidecar's process, its stores for looking into, and a browser."""

    server: Server
    name: str
    state: Path
    browser: Any
    api: AdminApi
    port: int
    settings: Settings | None = None
    sidecar: Sidecar | None = None
    process: "subprocess.Popen[bytes] | None" = None
    options: tuple[str, ...] = ()
    rules: str = ""
    origins: tuple[str, ...] = ()
    logins: int = 9000
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @property
    def issuer(self) -> str:
        """The realm's issuer."""
        return f"{self.server.url}/realms/{self.name}"

    def prepare(self) -> None:
        """Make the realm, install, write the sidecar's settings, teach it Amelia's typing, and start it."""
        self.api.post("//realms", realm(self.name))
        self.gaitkeeper("install", "--yes")
        self.state.mkdir(parents=True, exist_ok=True)
        (self.state / "gaitkeeper.toml").write_text(
            f"""base_url = "{self.sidecar_url}"
port = {self.port}
deadline_ms = 1400
data_dir = "data"

[[idps]]
tenant = "{self.name}"
issuer = "{self.issuer}"
adapter = "keycloak"
jwks_file = "{self.server.keys / self.name}-jwks.json"
site_key = "{self.name}"
origins = {json.dumps([self.server.url, *self.origins])}
revocation_url = "{self.issuer}/gaitkeeper/sessions/end"
"""
        )
        if self.rules:
            shipped = (policy_directory() / "default.yaml").read_text()
            ours = shipped.replace("rules:\n", f"rules:\n{self.rules}", 1)
            (self.state / "policy.yaml").write_text(f"behavior_may_deny: true\n{ours}")
            settings = self.state / "gaitkeeper.toml"
            settings.write_text(f'policy = "policy.yaml"\n{settings.read_text()}')
        self.settings = load_settings(self.state / "gaitkeeper.toml")
        self.sidecar = build(self.settings)
        self.learn(USERNAME)
        self.start()
        self.gaitkeeper("install", "--yes")  # now it can also learn the sidecar's key

    def run(self, work: Any) -> Any:
        """Run a coroutine on a thread of its own: Playwright keeps this thread's loop."""
        return self.pool.submit(lambda: asyncio.run(work)).result()

    @property
    def sidecar_url(self) -> str:
        """base_url of the sidecar."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, ahead: float = 0) -> None:
        """Start the sidecar, its clock ``ahead`` by seconds, and wait for it."""
        run = ["-c", AHEAD, str(ahead)] if ahead else ["-m", "sidecar"]
        command = [sys.executable, *run, "serve", "-c", str(self.state / "gaitkeeper.toml")]
        with (self.state / "sidecar.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.sidecar_url}/health/ready", timeout=1, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)
        raise RuntimeError((self.state / "sidecar.log").read_text()[-2000:])

    def stop(self) -> None:
        """Stop the sidecar."""
        if self.process:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def close(self) -> None:
        """End everything of this stage; the realm goes with the server."""
        self.stop()
        if self.sidecar:
            self.sidecar.close()
        self.pool.shutdown()

    def gaitkeeper(self, command: str, *more: str) -> str:
        """Run the product's command on the realm and return what it prints."""
        words = [
            sys.executable, "-m", "sidecar", "keycloak", command, "--realm", self.name, "--server", self.server.url,
            "--sidecar", self.sidecar_url, "--keys", str(self.server.keys), "--deadline-ms", "1500", *self.options, *more,
        ]  # fmt: skip
        return _told(words)

    def status(self) -> str:
        """Run the command that shows the counts."""
        where = ["--realm", self.name, "--server", self.server.url]
        return _told([sys.executable, "-m", "sidecar", "keycloak", "status", *where])

    def configure(self, **settings: str) -> None:
        """Change settings of the browser flow's decision, as an administrator would in the console."""
        executions = self.api.get("/authentication/flows/gaitkeeper%20browser/executions")
        decide = next(one for one in executions if one["level"] == 0 and one.get("providerId") == "gaitkeeper-risk")
        config = self.api.get(f"/authentication/config/{decide['authenticationConfig']}")
        config["config"] |= settings
        self.api.put(f"/authentication/config/{config['id']}", config)

    def add_person(self, username: str, *, otp: bool, **attributes: list[str]) -> None:
        """Import one more user."""
        users = [person(self.name, username, otp=otp, **attributes)]
        self.api.post("/partialImport", {"ifResourceExists": "FAIL", "users": users})

    def learn(self, username: str) -> None:
        """Teach the sidecar Amelia's way of typing as somebody's."""
        assert self.sidecar
        probes = synthetic_probes(WHO, USERNAME, PASSWORD)
        self.run(enroll(self.sidecar, self.name, self.user_id(username), probes, origin="1"))

    def change_password(self, username: str, password: str) -> None:
        """Give somebody another password, as an administrator."""
        body = {"type": "password", "value": password, "temporary": False}
        self.api.put(f"/users/{self.user_id(username)}/reset-password", body)

    def fields(self, username: str) -> set[str]:
        """Return which fields the sidecar knows somebody's typing in."""
        return self.fields_of(self.user_id(username))

    def fields_of(self, user: str) -> set[str]:
        """Return the same by the user's id, which outlives the user."""
        assert self.sidecar
        subject = self.sidecar.keyring.pseudonym(self.name, user)
        return {profile.key.field for profile in self.run(self.sidecar.profiles.find(self.name, subject))}

    @staticmethod
    def until(holds: Callable[[], bool], seconds: float = 15) -> None:
        """Wait until something holds; fail when it does not."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it never came to hold"
            time.sleep(0.1)

    def user_id(self, username: str) -> str:
        """Return Keycloak's id of a user."""
        return str(self.api.get(f"/users?username={username}&exact=true")[0]["id"])

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return stored events of a type, newest first."""
        found: list[dict[str, Any]] = self.api.get(f"/events?type={kind}&max=20")
        return found

    def visit(self) -> "Visit":
        """Open a fresh browser profile."""
        return Visit(self, self.browser.new_context(locale="en-US"))

    def decision(self) -> Any:
        """Return the newest decision."""
        assert self.sidecar
        return self.run(self.sidecar.decisions.recent([self.name], 1))[0]

    def completed(self, decision_id: str) -> Any:
        """Return how a decision's login ended, as soon as it was reported."""
        assert self.sidecar
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = self.run(self.sidecar.decisions.get(self.name, decision_id))
            if found and found.completion is not None:
                return found.completion
            time.sleep(0.1)
        raise AssertionError("no completion arrived")

    def end_sessions(self, username: str, sid: str | None, scope: str) -> OutboxItem:
        """Let the running sidecar end sessions, as a rule or an operator would."""
        assert self.sidecar
        subject = self.sidecar.keyring.pseudonym(self.name, self.user_id(username))
        body = {"subject": subject, "sid": sid, "scope": scope, "reason": "test", "decision": "test"}
        item = OutboxItem(secrets.token_urlsafe(8), self.name, self.issuer, "revoke", body, 0, time.time())
        self.run(self.sidecar.outbox.add([item]))
        return item

    def end_by_admin_api(self, username: str, sid: str | None, scope: str) -> None:
        """End sessions the other way: by the Admin API, with the sidecar's own key."""
        assert self.sidecar
        url, key = f"{self.server.url}/admin/realms/{self.name}", self.sidecar.keyring.signing
        item = OutboxItem("id", self.name, self.issuer, "revoke", {"scope": scope, "sid": sid}, 0, time.time())

        async def end() -> None:
            async with httpx.AsyncClient(trust_env=False) as client:
                await KeycloakSessions(url, self.sidecar_url, key, client, time.time).end(item, self.user_id(username))

        self.run(end())

    def call_realm(self, path: str, body: bytes, token: str | None = None) -> httpx.Response:
        """Call the jar's realm resource as the sidecar does; ``token`` replaces the fresh one."""
        url = f"{self.issuer}/gaitkeeper/{path}"
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token or self.signed(path, body)}"}
        return httpx.post(url, content=body, headers=headers, trust_env=False)

    def signed(self, path: str, body: bytes) -> str:
        """Sign a call to the realm resource with the sidecar's key."""
        assert self.sidecar
        url = f"{self.issuer}/gaitkeeper/{path}"
        key = self.sidecar.keyring.signing
        return sign_request(
            key, issuer=self.sidecar_url, audience=url, method="POST", url=url, body=body, now=time.time()
        )


def _told(words: list[str]) -> str:
    env = os.environ | {"GAITKEEPER_KEYCLOAK_USER": ADMIN, "GAITKEEPER_KEYCLOAK_PASSWORD": ADMIN}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def typed_rows(who: int, number: int, username: str) -> tuple[list[Row], list[Row]]:
    """Return how a synthetic typist types user name and password; each number is another login."""
    if who == WHO:
        return synthetic_login(who, number, username, PASSWORD)
    rng = np.random.default_rng([who, number])
    return typist(who).login(rng, len(username), enter=False), typist(who).login(rng, len(PASSWORD))


def code() -> str:
    """Return the one-time code of this moment."""
    return pyotp.TOTP(base64.b32encode(OTP_SECRET.encode()).decode()).now()


def redeem(stage: Stage, url: str, client: str = "app") -> dict[str, Any]:
    """Redeem the code with which an application was called."""
    code = parse_qs(urlsplit(url).query)["code"][0]
    form = {"grant_type": "authorization_code", "client_id": client, "redirect_uri": APP, "code": code}
    answer = httpx.post(f"{stage.issuer}/protocol/openid-connect/token", data=form, trust_env=False)
    assert answer.status_code == 200, answer.text
    granted: dict[str, Any] = answer.json()
    return granted


def claims(token: str) -> dict[str, Any]:
    """Return what a token says, unverified."""
    part = token.split(".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return said


def password_grant(stage: Stage, username: str, client: str = "app", **more: str) -> httpx.Response:
    """Ask for tokens as an application without a browser does."""
    form = {"grant_type": "password", "client_id": client, "username": username, "password": PASSWORD} | more
    return httpx.post(f"{stage.issuer}/protocol/openid-connect/token", data=form, trust_env=False)


def inland(stage: Stage) -> str:
    """Make another realm with one person, and a broker to it; return the other realm's name."""
    name = f"{stage.name}-inland"
    person = {"username": "dora", "enabled": True, "email": "dora@example.org", "emailVerified": True}
    person |= {"firstName": "Dora", "lastName": "Hart", "credentials": [{"type": "password", "value": PASSWORD}]}
    client = {
        "clientId": "shore",
        "secret": "between-realms",
        "redirectUris": [f"{stage.issuer}/broker/inland/endpoint"],
    }
    stage.api.post("//realms", {"realm": name, "enabled": True, "clients": [client], "users": [person]})
    issuer = f"{stage.server.url}/realms/{name}"
    config = {
        "issuer": issuer,
        "authorizationUrl": f"{issuer}/protocol/openid-connect/auth",
        "tokenUrl": f"{issuer}/protocol/openid-connect/token",
        "jwksUrl": f"{issuer}/protocol/openid-connect/certs",
        "useJwksUrl": "true",
        "clientId": "shore",
        "clientSecret": "between-realms",
        "defaultScope": "openid email profile",
    }
    broker = {"alias": "inland", "providerId": "oidc", "enabled": True, "trustEmail": True, "config": config}
    stage.api.post("/identity-provider/instances", broker)
    return name


@dataclass
class Visit:
    """A person in front of a browser window."""

    stage: Stage
    context: Any

    def __post_init__(self) -> None:
        """Open a window."""
        self.page = self.context.new_page()

    def open(self, client: str = "app", **more: str) -> None:
        """Ask for a login as an application does."""
        query = {"client_id": client, "redirect_uri": APP, "response_type": "code", "scope": "openid"} | more
        self.page.goto(f"{self.stage.issuer}/protocol/openid-connect/auth?{urlencode(query)}")

    def type_name_then_password(self) -> None:
        """Type user name and Enter, and on the next page the password and Enter."""
        self.stage.logins += 1
        name_rows, rows = synthetic_login(WHO, self.stage.logins, USERNAME, PASSWORD)
        self.page.focus("#username")
        keyboard.play(self.context.new_cdp_session(self.page), USERNAME, name_rows)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#password")
        self.page.focus("#password")
        keyboard.play(self.context.new_cdp_session(self.page), PASSWORD, rows)

    def type_login(self, username: str = USERNAME, *, who: int = WHO) -> None:
        """Type user name, Tab, password, Enter in the rhythm of a synthetic typist."""
        self.stage.logins += 1
        name_rows, rows = typed_rows(who, self.stage.logins, username)
        self.page.wait_for_load_state()
        self.page.focus("#username")
        keyboard.play(self.context.new_cdp_session(self.page), username, name_rows)
        self.page.keyboard.press("Tab")
        self.page.focus("#password")
        keyboard.play(self.context.new_cdp_session(self.page), PASSWORD, rows)

    def where(self) -> str:
        """Wait for the next page and return its name: app, or Keycloak's id of the page."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if self.page.url.startswith(APP):
                    return "app"
                found = str(self.page.evaluate("document.body?.dataset?.pageId ?? ''"))
            except Error:  # the page went on in this moment
                found = ""
            if found not in ("", "login-login", "login-login-password"):
                return found
            time.sleep(0.05)
        return "login-login"

    def pass_otp(self) -> None:
        """Type a code."""
        self.page.fill("#otp", code())
        self.page.click("#kc-login")

    def tokens(self) -> dict[str, Any]:
        """Redeem the code the application received."""
        return redeem(self.stage, self.page.url)
