"""The tables, as sqlite-utils migrations. A migration, once released, is never edited; the next one changes it."""

from pathlib import Path

import pysqlite3.dbapi2 as sqlite3
import sqlite_utils
from sqlite_utils.migrations import Migrations

from sidecar.errors import StorageFailed

migrations = Migrations("gaitkeeper")
key_migrations = Migrations("gaitkeeper-keys")

_FIRST = """
CREATE TABLE assertions (issuer TEXT, jti TEXT, expires INTEGER NOT NULL, PRIMARY KEY (issuer, jti)) WITHOUT ROWID;
CREATE INDEX assertions_expires ON assertions (expires);
CREATE TABLE idempotency (
  issuer TEXT, key TEXT, request_digest TEXT NOT NULL, decision TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (issuer, key)) WITHOUT ROWID;
CREATE TABLE uses (what TEXT PRIMARY KEY, decision TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE waiting_batches (
  capture TEXT, seq INTEGER, sealed BLOB NOT NULL, expires INTEGER NOT NULL, PRIMARY KEY (capture, seq)) WITHOUT ROWID;
CREATE INDEX waiting_batches_expires ON waiting_batches (expires);
CREATE TABLE probe_digests (tenant TEXT, digest TEXT, at REAL NOT NULL, PRIMARY KEY (tenant, digest)) WITHOUT ROWID;
CREATE TABLE decisions (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, issuer TEXT NOT NULL,
  subject TEXT NOT NULL, at REAL NOT NULL, body BLOB NOT NULL, completion TEXT);
CREATE INDEX decisions_subject ON decisions (tenant, subject, number);
CREATE TABLE waiting_probes (
  decision TEXT, field TEXT, tenant TEXT NOT NULL, subject TEXT NOT NULL, sealed BLOB NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (decision, field)) WITHOUT ROWID;
CREATE TABLE samples (
  id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, subject TEXT NOT NULL, modality TEXT NOT NULL,
  field TEXT NOT NULL, context TEXT NOT NULL, decision TEXT NOT NULL, evidence TEXT NOT NULL, at REAL NOT NULL,
  sealed BLOB NOT NULL);
CREATE INDEX samples_profile ON samples (tenant, subject, modality, field, context, id);
CREATE TABLE templates (
  tenant TEXT, subject TEXT, modality TEXT, field TEXT, context TEXT, samples INTEGER NOT NULL,
  confirmed INTEGER NOT NULL, last_at REAL NOT NULL, sealed BLOB NOT NULL,
  PRIMARY KEY (tenant, subject, modality, field, context)) WITHOUT ROWID;
CREATE TABLE provenance (
  number INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, subject TEXT NOT NULL, password TEXT);
CREATE INDEX provenance_subject ON provenance (tenant, subject, number);
CREATE TABLE directory (
  tenant TEXT, subject TEXT, sealed BLOB NOT NULL, PRIMARY KEY (tenant, subject)) WITHOUT ROWID;
CREATE TABLE outbox (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, issuer TEXT NOT NULL,
  kind TEXT NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL, due REAL, created REAL NOT NULL,
  delivered INTEGER NOT NULL DEFAULT 0, error TEXT);
CREATE INDEX outbox_due ON outbox (due) WHERE due IS NOT NULL;
"""


@migrations()
def first_tables(db: sqlite_utils.Database) -> None:
    """Everything one login needs; keyed by tenant from the first day."""
    for statement in _FIRST.split(";\n"):
        if statement.strip():
            db.execute(statement)


@key_migrations()
def first_key_tables(db: sqlite_utils.Database) -> None:
    """The key store's own file."""
    db.execute(
        "CREATE TABLE user_keys (tenant TEXT, subject TEXT, key_id BLOB NOT NULL, master TEXT NOT NULL,"
        " wrapped BLOB NOT NULL, PRIMARY KEY (tenant, subject)) WITHOUT ROWID"
    )
    db.execute("CREATE UNIQUE INDEX user_keys_id ON user_keys (key_id)")
    db.execute("CREATE INDEX user_keys_master ON user_keys (master)")
    db.execute("CREATE TABLE secrets (name TEXT PRIMARY KEY, master TEXT NOT NULL, wrapped BLOB NOT NULL)")


def migrate(path: Path, wanted: Migrations, journal: str) -> None:
    """Bring a database file to this version. Raises StorageFailed when it is newer than the code or damaged."""
    try:
        connection = sqlite3.connect(str(path))
        connection.execute(f"PRAGMA journal_mode = {journal}")
        db = sqlite_utils.Database(connection)
        known = {migration.name for migration in wanted._migrations}
        strange = [done.name for done in wanted.applied(db) if done.name not in known]
        if strange:
            raise StorageFailed(f"{path} was made by a newer version (migration {strange[0]})")
        wanted.apply(db)
        connection.close()
    except sqlite3.Error as error:
        raise StorageFailed(f"{path}: {error}") from None
