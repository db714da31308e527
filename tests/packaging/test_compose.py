"""docker-compose.yml, checked with the real Compose binary; no engine is needed for that, and none was used."""

import os
import subprocess
from pathlib import Path

import compose
import pytest

ROOT = Path(__file__).parents[2]
# The package's own wrapper exits 0 on errors, so the binary inside is called.
BINARY = Path(compose.__file__).parent / "docker-compose"
VARIABLES = {"KEYCLOAK_DB_PASSWORD": "x", "KEYCLOAK_ADMIN_PASSWORD": "x"}


def _config(directory: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), **variables}
    command = [str(BINARY), "-f", "docker-compose.yml", "config", "-q"]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_file_is_valid() -> None:
    done = _config(ROOT, VARIABLES)
    assert done.returncode == 0, done.stderr


def test_a_password_must_be_chosen() -> None:
    assert _config(ROOT, {}).returncode != 0


@pytest.mark.parametrize(("right", "wrong"), [("networks: [inside]", "networks: [insidee]"), ("build: .", "biuld: .")])
def test_the_check_can_fail(tmp_path: Path, right: str, wrong: str) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    (tmp_path / "docker-compose.yml").write_text(text.replace(right, wrong, 1))
    assert _config(tmp_path, VARIABLES).returncode != 0


def test_mounted_files_exist() -> None:
    for name in ("deploy/Caddyfile", "deploy/gaitkeeper/gaitkeeper.toml.example", "Dockerfile", "requirements.lock"):
        assert (ROOT / name).is_file()
