-- Published policies: every version for good, which of them is in force, and how people fared under each.
CREATE TABLE policies (
  number $number, digest TEXT NOT NULL, name TEXT NOT NULL, source $bytes NOT NULL, tests $bytes NOT NULL,
  signature $bytes, author TEXT NOT NULL, at $real NOT NULL, note TEXT NOT NULL);
CREATE INDEX policies_digest ON policies (digest);
CREATE TABLE policy_slots (
  slot TEXT PRIMARY KEY, number $whole NOT NULL, audience TEXT NOT NULL, author TEXT NOT NULL, approver TEXT,
  at $real NOT NULL, ends $real, band $real) $keyed;
CREATE TABLE policy_fares (
  digest TEXT, tenant TEXT, subject TEXT, passed $whole NOT NULL, at $real NOT NULL,
  PRIMARY KEY (digest, tenant, subject)) $keyed;
CREATE INDEX policy_fares_at ON policy_fares (at);
