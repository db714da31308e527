"""The key store: every person's data key, wrapped by a master key, in a database of its own, apart from the data.

Destroying a row here makes everything sealed under that key unreadable, in the database and in every backup of it. So
backups of this one are kept shortly and apart from those of the data.
"""

import os
import secrets
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.errors import KeyUnknown, SealBroken, StorageFailed
from sidecar.keyring import KEY_ID_BYTES, Keyring, Seal, key_id, keyring
from sidecar.masters import Masters
from sidecar.ports import Opener
from sidecar.storage.database import Connection, Database
from sidecar.tokens import load_signing_key, new_signing_key

BATCH = 256


class SqlKeys:
    """Implements ``ports.Keys``. What is not ``async`` blocks as long as the key store takes."""

    def __init__(self, database: Database, masters: Masters) -> None:
        self._db = database
        self._masters = masters

    def seal(self, tenant: str, subject: str) -> Seal:
        """Return a person's seal. Raises KeyUnknown, SealBroken."""
        rows = self._db.read(
            "SELECT key_id, master, wrapped FROM user_keys WHERE tenant = ? AND subject = ?", (tenant, subject)
        )
        if not rows:
            raise KeyUnknown("this person has no key")
        identity, master, wrapped = rows[0]
        key = self._masters.unwrap(master, bytes(wrapped), *key_place(tenant, subject, identity))
        return Seal(key, bytes(identity))

    async def ensure(self, tenant: str, subject: str) -> None:
        """Make a person's key if there is none; durable before anything is sealed under it."""
        sql = "SELECT 1 FROM user_keys WHERE tenant = ? AND subject = ?"
        if await self._db.reading(lambda: self._db.read(sql, (tenant, subject))):
            return
        identity = secrets.token_bytes(KEY_ID_BYTES)
        row = (tenant, subject, identity, *self._masters.wrap(os.urandom(32), *key_place(tenant, subject, identity)))
        await self._db.write(
            lambda connection: connection.execute(
                "INSERT INTO user_keys VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row
            )
        )

    async def destroy(self, tenant: str, subject: str) -> bool:
        """Destroy a person's key; tell whether there was one."""
        gone = await self._db.write(
            lambda connection: (
                connection.execute("DELETE FROM user_keys WHERE tenant = ? AND subject = ?", (tenant, subject)).rowcount
            )
        )
        return bool(gone)

    def open_mine(self, tenant: str, subject: str, sealed: bytes, *place: str) -> bytes | None:
        """Open a value under a person's key; None when its key was destroyed. Raises SealBroken, MasterKeyUnknown."""
        return self.opener(tenant, subject)(sealed, *place)

    def opener(self, tenant: str, subject: str) -> Opener:
        """Return what opens a person's values, having read the key once. Raises SealBroken, MasterKeyUnknown."""
        try:
            seal = self.seal(tenant, subject)
        except KeyUnknown:
            seal = None

        def opened(sealed: bytes, *place: str) -> bytes | None:
            if seal is not None:
                try:
                    return seal.open(sealed, *place)
                except KeyUnknown:
                    pass
            if self._db.read("SELECT 1 FROM user_keys WHERE key_id = ?", (key_id(sealed),)):
                raise SealBroken("a sealed value is another person's")
            return None

        return opened

    def keyring(self, tenants: Sequence[str]) -> Keyring:
        """Return the installation's keys, making on first use what is missing: every tenant has a root secret of its own."""
        root = self._secret("root", lambda: os.urandom(32))
        signing = self._secret("signing", _new_signing)
        roots = {tenant: self._secret(f"tenant {tenant}", lambda: os.urandom(32)) for tenant in tenants}
        return keyring(root, roots, load_signing_key(signing.decode()))

    def audit_key(self) -> Ed25519PrivateKey:
        """Return the key that signs the audit chains' checkpoints, made on first use."""
        return Ed25519PrivateKey.from_private_bytes(self._secret("audit", lambda: os.urandom(32)))

    def rewrap(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Wrap every key under the current master key, a batch a transaction; return how many were behind.

        May be killed and started again, and may run beside a serving sidecar.
        """
        done = 0
        while moved := self._db.write_now(self._rewrap_batch):
            done += moved
            progress(done)
        return done

    def check(self) -> list[str]:
        """Unwrap every key; return one line for each that does not, with its code."""
        faults = []
        sql = "SELECT tenant, subject, key_id, master, wrapped FROM user_keys"
        for tenant, subject, identity, master, wrapped in self._db.read(sql):
            try:
                self._masters.unwrap(master, bytes(wrapped), *key_place(tenant, subject, identity))
            except StorageFailed as error:
                faults.append(f"{tenant}/{subject}: {error.code}: {error.message}")
        return faults

    def masters_in_use(self) -> dict[str, int]:
        """Return how many keys each master key wraps."""
        return dict(self._db.read(
            "SELECT master, count(*) FROM (SELECT master FROM user_keys UNION ALL SELECT master FROM secrets)"
            " AS all_keys GROUP BY master"
        ))  # fmt: skip

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _secret(self, name: str, fresh: Callable[[], bytes]) -> bytes:
        sql = "SELECT master, wrapped FROM secrets WHERE name = ?"
        if not self._db.read(sql, (name,)):
            row = (name, *self._masters.wrap(fresh(), "secrets", name))
            self._db.write_now(
                lambda connection: connection.execute(
                    "INSERT INTO secrets VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row
                )
            )
        master, wrapped = self._db.read(sql, (name,))[0]
        return self._masters.unwrap(master, bytes(wrapped), "secrets", name)

    def _rewrap_batch(self, connection: Connection) -> int:
        current = self._masters.current
        users = connection.execute(
            "SELECT tenant, subject, key_id, master, wrapped FROM user_keys WHERE master <> ? LIMIT ?", (current, BATCH)
        ).fetchall()
        for tenant, subject, identity, master, wrapped in users:
            place = key_place(tenant, subject, identity)
            fresh = self._masters.wrap(self._masters.unwrap(master, bytes(wrapped), *place), *place)
            connection.execute(
                "UPDATE user_keys SET master = ?, wrapped = ? WHERE tenant = ? AND subject = ?",
                (*fresh, tenant, subject),
            )
        names = connection.execute(
            "SELECT name, master, wrapped FROM secrets WHERE master <> ? LIMIT ?", (current, BATCH)
        ).fetchall()
        for name, master, wrapped in names:
            fresh = self._masters.wrap(self._masters.unwrap(master, bytes(wrapped), "secrets", name), "secrets", name)
            connection.execute("UPDATE secrets SET master = ?, wrapped = ? WHERE name = ?", (*fresh, name))
        return len(users) + len(names)


def key_place(tenant: str, subject: str, identity: bytes) -> tuple[str, ...]:
    """Return where a person's key is wrapped for; its id too, since under another one the data would seem forgotten."""
    return ("user_keys", tenant, subject, bytes(identity).hex())


def _new_signing() -> bytes:
    return new_signing_key().pem.encode()
