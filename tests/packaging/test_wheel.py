"""The wheel, installed outside the checkout: the command runs, and a login comes out of it."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LOGIN = """
import asyncio, json, pathlib, sys
import sidecar.shipped
from sidecar.demo.layout import PEOPLE, Layout, write
from sidecar.demo.launch import processes, seed
from sidecar.demo.launch import free_port
from sidecar.demo.seeding import synthetic_login
from sidecar.rehearsal.payload import hidden_field
from idp_adapters.demo.settings import load_settings
from sidecar.tokens import load_signing_key, sign_request
import httpx, time

layout = Layout(pathlib.Path(sys.argv[1]), free_port())
asyncio.run(seed(write(layout), PEOPLE))
key = load_signing_key((layout.state / "idp-assertion.pem").read_text())
out = {"package": str(pathlib.Path(sidecar.__file__).parent)}
with processes(layout):
    out["widget"] = httpx.get(layout.sidecar_url + "/widget/gaitkeeper.js").status_code
    out["pages"] = [httpx.get(u).status_code for u in (layout.sidecar_url + "/operator", layout.app_url)]
    for name, typist in (("owner", PEOPLE[0].typist), ("stranger", 3)):
        rows = synthetic_login(typist, 900, PEOPLE[0].username, PEOPLE[0].password)
        body = json.dumps({
            "subject": {"id": PEOPLE[0].sub}, "action": {"name": "login"}, "resource": {"id": "harbour-bank"},
            "context": {"attempt": "wheel-test-" + name, "capture": hidden_field(rows[1], rows[0])}}).encode()
        url = layout.sidecar_url + "/access/v1/evaluation"
        token = sign_request(key, issuer=layout.idp_url, audience=layout.sidecar_url, method="POST", url=url, body=body,
                             now=time.time())
        headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
        out[name] = httpx.post(url, content=body, headers=headers).json()["context"]["action"]
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; the dependencies are those of this one (the same lock file)."""
    home = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    venv.create(home / "env", with_pip=False)
    packages = next((home / "env" / "lib").glob("python3*/site-packages"))
    (wheel,) = home.glob("*.whl")
    interpreter = home / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", f"--python={interpreter}", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, timeout=120)
    # Behind the wheel on the path: everything else, but not the checkout, which an editable install points to.
    (packages / "dependencies.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    return interpreter


def test_version(python: Path) -> None:
    done = subprocess.run(
        [python.parent / "gaitkeeper", "--version"], cwd="/", capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("gaitkeeper 0.")


def test_login_from_the_wheel(python: Path, tmp_path: Path) -> None:
    """The wheel carries widget, pages and policy; owner and stranger are told apart without a checkout in sight."""
    done = subprocess.run(
        [python, "-W", "ignore", "-c", LOGIN, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout.splitlines()[-1])
    assert str(ROOT) not in out["package"]
    assert (out["widget"], out["pages"]) == (200, [401, 200])
    assert (out["owner"], out["stranger"]) == ("allow", "step_up")
