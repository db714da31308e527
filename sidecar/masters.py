"""Master keys: they wrap the users' keys and nothing else, and come from a file, the environment or a command.

The text is the same from every source: JSON ``{"current": ID, "keys": {ID: 64 hex digits}}``. Several keys may stand in it,
so that a rotation can be finished while the sidecar runs.
"""

import json
import os
import re
import secrets
import shlex
import subprocess
from pathlib import Path
from typing import Any

from sidecar.errors import ConfigInvalid, MasterKeyUnknown
from sidecar.keyring import Seal

COMMAND_SECONDS = 10.0
_ID = re.compile(r"[0-9a-f]{8}")


class Masters:
    """The master keys of one source (``file:PATH``, ``env:NAME`` or ``command:WORDS``). Raises ConfigInvalid."""

    def __init__(self, source: str) -> None:
        kind, _, where = source.partition(":")
        if kind not in ("file", "env", "command") or not where:
            raise ConfigInvalid("keys.master is file:PATH, env:NAME or command:WORDS")
        self._kind, self._where = kind, where
        self.current = ""
        self._read_at = 0
        self._keys: dict[str, bytes] = {}
        self.reload()

    @staticmethod
    def init(path: Path) -> None:
        """Make a file with one fresh master key. Raises ConfigInvalid when there is one."""
        identity = secrets.token_hex(4)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
                json.dump({"current": identity, "keys": {identity: secrets.token_hex(32)}}, new)
                new.flush()
                os.fsync(new.fileno())
        except FileExistsError:
            raise ConfigInvalid(f"{path} exists; rotate instead of making new keys") from None

    def reload(self) -> None:
        """Read the source again. Raises ConfigInvalid, without a word of what it read."""
        self._read_at = self._stamp()
        found = _parsed(self._text(), f"{self._kind}:{self._where}" if self._kind != "command" else "command")
        self.current, self._keys = found["current"], {name: bytes.fromhex(key) for name, key in found["keys"].items()}

    def wrap(self, key: bytes, *place: str) -> tuple[str, bytes]:
        """Wrap a key under the current master key; return (master id, wrapped)."""
        if self._kind == "file" and self._stamp() != self._read_at:
            self.reload()  # another process may have rotated
        return self.current, self._seal(self.current).close(key, *place)

    def unwrap(self, master: str, wrapped: bytes, *place: str) -> bytes:
        """Unwrap a key. Raises MasterKeyUnknown when no such master key is at hand, SealBroken when it does not fit."""
        if master not in self._keys:
            self.reload()  # another process may have rotated
        return self._seal(master).open(wrapped, *place)

    def rotate(self) -> str:
        """Add a fresh master key to the file and make it the current one; return its id. Raises ConfigInvalid."""
        if self._kind != "file":
            raise ConfigInvalid("only a file can be rotated here; put the new key into the source first, then rewrap")
        identity = secrets.token_hex(4)
        keys = {name: key.hex() for name, key in self._keys.items()} | {identity: secrets.token_hex(32)}
        self._replace({"current": identity, "keys": keys})
        return identity

    def drop_unused(self, used: set[str]) -> list[str]:
        """Remove master keys that wrap nothing any more from the file; return their ids."""
        gone = [name for name in self._keys if name != self.current and name not in used]
        if gone and self._kind == "file":
            self._replace(
                {"current": self.current, "keys": {n: k.hex() for n, k in self._keys.items() if n not in gone}}
            )
        return gone

    def _replace(self, content: dict[str, Any]) -> None:
        path = Path(self._where)
        fresh = path.with_suffix(f".{secrets.token_hex(4)}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            json.dump(content, new)
            new.flush()
            os.fsync(new.fileno())
        fresh.replace(path)
        self.reload()

    def _seal(self, master: str) -> Seal:
        key = self._keys.get(master)
        if key is None:
            raise MasterKeyUnknown(f"no master key {master} at hand")
        return Seal(key, bytes.fromhex(master.rjust(16, "0")))

    def _stamp(self) -> int:
        try:
            return Path(self._where).stat().st_mtime_ns if self._kind == "file" else 0
        except OSError:
            return 0

    def _text(self) -> str:
        try:
            if self._kind == "file":
                return Path(self._where).read_text()
            if self._kind == "env":
                return os.environ[self._where]
            done = subprocess.run(  # noqa: S603 - the administrator's own command
                shlex.split(self._where), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True
            )
        except KeyError:
            raise ConfigInvalid(f"the environment has no {self._where}") from None
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise ConfigInvalid(f"the master keys cannot be read ({type(error).__name__})") from None
        except subprocess.SubprocessError as error:
            raise ConfigInvalid(f"the command for the master keys failed ({type(error).__name__})") from None
        return done.stdout


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        keys = found["keys"]
        good = found["current"] in keys and all(
            _ID.fullmatch(name) and len(bytes.fromhex(key)) == 32 for name, key in keys.items()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise ConfigInvalid(f"{where}: not master keys of the documented form")
    return dict(found)
