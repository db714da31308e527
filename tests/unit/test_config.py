"""Settings: a file that cannot be run is refused with everything that is wrong with it, before anything starts."""

from pathlib import Path

import pytest

from sidecar.config import load_settings
from sidecar.errors import ConfigInvalid

GOOD = """base_url = "https://gaitkeeper.example"
data_dir = "data"

[[idps]]
tenant = "one"
issuer = "https://idp.example"
jwks_file = "jwks.json"
site_key = "site"
origins = ["https://login.example"]
"""


def write(base: Path, text: str) -> Path:
    (base / "jwks.json").write_text('{"keys": []}')
    path = base / "gaitkeeper.toml"
    path.write_text(text)
    return path


def refusal(base: Path, text: str) -> str:
    with pytest.raises(ConfigInvalid) as refused:
        load_settings(write(base, text))
    return refused.value.message


def test_a_good_file_is_read_with_paths_relative_to_it(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    assert settings.data_dir == tmp_path / "data"
    assert settings.idps[0].jwks_file == tmp_path / "jwks.json"
    assert settings.idps[0].client("anything").password_suffices is False


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    with pytest.raises(ValueError, match="frozen"):
        settings.base_url = "http://evil.example"  # type: ignore[misc]


def test_every_failed_check_is_told_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("https://gaitkeeper.example", "http://gaitkeeper.example/")
        + """
revocation_url = "http://idp.example/revoke"

[[idps]]
tenant = "two"
issuer = "https://idp.example"
jwks_file = "none.json"
site_key = "site"
origins = ["https://login.example/path", "ftp://x"]

[operator]
issuer = "http://idp.example"
client_id = "operator"
client_secret_file = "none.secret"
"""
    )
    said = refusal(tmp_path, text.replace('data_dir = "data"', 'data_dir = "data"\npolicy = "none.yaml"'))
    for part in [
        "base_url must not end in a slash",
        "same issuer",
        "same site_key",
        "http://gaitkeeper.example/ must be https",
        "http://idp.example/revoke must be https",
        "http://idp.example must be https",
        "ftp://x must be https",
        "https://login.example/path is not an origin",
        "none.json does not exist",
        "none.yaml does not exist",
        "operator.client_secret_file does not exist",
    ]:
        assert part in said


def test_every_value_of_the_wrong_type_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('tenant = "one"', 'tenant = "a|b"').replace(
        'origins = ["https://login.example"]', "origins = []"
    )
    said = refusal(tmp_path, "port = 0\ndeadline_ms = 1\nsurprise = true\nlearning = {ready_samples = 1}\n" + text)
    for part in ("port", "deadline_ms", "surprise", "learning.ready_samples", "idps.0.tenant", "idps.0.origins"):
        assert part in said


@pytest.mark.parametrize(
    "url",
    [
        "gaitkeeper.example",
        "//gaitkeeper.example",
        "http://gaitkeeper.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "https://[::1",
        "http://[",
    ],
)
@pytest.mark.parametrize("where", ["base_url", "origins", "revocation_url"])
def test_urls_that_are_not_safe(tmp_path: Path, url: str, where: str) -> None:
    old = {
        "base_url": '"https://gaitkeeper.example"',
        "origins": '["https://login.example"]',
        "revocation_url": 'site_key = "site"',
    }[where]
    new = {
        "base_url": f'"{url}"',
        "origins": f'["{url}"]',
        "revocation_url": f'site_key = "site"\nrevocation_url = "{url}"',
    }
    assert "must be https" in refusal(tmp_path, GOOD.replace(old, new[where]))


@pytest.mark.parametrize(
    "url", ["http://localhost:8800", "http://127.0.0.1:1", "http://[::1]:8800", "https://a.example"]
)
def test_loopback_may_be_plain(tmp_path: Path, url: str) -> None:
    assert load_settings(write(tmp_path, GOOD.replace("https://gaitkeeper.example", url)))


@pytest.mark.parametrize("text", ["", "x", "[", "base_url = 1", "\0"])
def test_what_is_no_settings_file(tmp_path: Path, text: str) -> None:
    assert "gaitkeeper.toml" in refusal(tmp_path, text)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_settings(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'base_url = "\xff"')
    with pytest.raises(ConfigInvalid):
        load_settings(tmp_path / "latin.toml")
