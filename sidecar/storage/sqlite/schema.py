"""The tables, as sqlite-utils migrations. A migration, once released, is never edited; the next one changes it."""

from pathlib import Path

import pysqlite3.dbapi2 as sqlite3
import sqlite_utils
from sqlite_utils.migrations import Migrations

from sidecar.errors import StorageFailed

migrations = Migrations("gaitkeeper")

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


def migrate(path: Path) -> None:
    """Bring a database file to this version. Raises StorageFailed when it is newer than the code or damaged."""
    try:
        connection = sqlite3.connect(str(path))
        connection.execute("PRAGMA journal_mode = WAL")
        db = sqlite_utils.Database(connection)
        known = {migration.name for migration in migrations._migrations}
        strange = [done.name for done in migrations.applied(db) if done.name not in known]
        if strange:
            raise StorageFailed(f"{path} was made by a newer version (migration {strange[0]})")
        migrations.apply(db)
        connection.close()
    except sqlite3.Error as error:
        raise StorageFailed(f"{path}: {error}") from None
