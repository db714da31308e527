-- Everything one login needs; keyed by tenant from the first day. Rows that hold sealed values are not $keyed: SQLite would put
-- four of them into an inner page of the tree, which among many people is deep then.
CREATE TABLE assertions (issuer TEXT, jti TEXT, expires $whole NOT NULL, PRIMARY KEY (issuer, jti)) $keyed;
CREATE INDEX assertions_expires ON assertions (expires);
CREATE TABLE idempotency (
  issuer TEXT, key TEXT, request_digest TEXT NOT NULL, decision TEXT NOT NULL, at $real NOT NULL,
  PRIMARY KEY (issuer, key)) $keyed;
CREATE INDEX idempotency_decision ON idempotency (decision);
CREATE TABLE uses (what TEXT PRIMARY KEY, decision TEXT NOT NULL, at $real NOT NULL) $keyed;
CREATE INDEX uses_decision ON uses (decision);
CREATE TABLE waiting_batches (
  capture TEXT, seq $whole, sealed $bytes NOT NULL, expires $whole NOT NULL, PRIMARY KEY (capture, seq)) $keyed;
CREATE INDEX waiting_batches_expires ON waiting_batches (expires);
CREATE TABLE probe_digests (tenant TEXT, digest TEXT, at $real NOT NULL, PRIMARY KEY (tenant, digest)) $keyed;
CREATE INDEX probe_digests_at ON probe_digests (at);
CREATE TABLE decisions (
  number $number, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, issuer TEXT NOT NULL, subject TEXT NOT NULL,
  at $real NOT NULL, body $bytes NOT NULL, completion TEXT);
CREATE INDEX decisions_subject ON decisions (tenant, subject, number);
CREATE INDEX decisions_at ON decisions (at);
CREATE TABLE waiting_probes (
  decision TEXT, field TEXT, tenant TEXT NOT NULL, subject TEXT NOT NULL, sealed $bytes NOT NULL, at $real NOT NULL,
  PRIMARY KEY (decision, field)) $keyed;
CREATE INDEX waiting_probes_subject ON waiting_probes (tenant, subject);
CREATE TABLE samples (
  number $number, tenant TEXT NOT NULL, subject TEXT NOT NULL, modality TEXT NOT NULL, field TEXT NOT NULL,
  context TEXT NOT NULL, decision TEXT NOT NULL, evidence TEXT NOT NULL, at $real NOT NULL, sealed $bytes NOT NULL,
  model TEXT NOT NULL, confirmed $whole NOT NULL, unlearned $real);
CREATE INDEX samples_profile ON samples (tenant, subject, modality, field, context, number);
CREATE INDEX samples_at ON samples (at);
CREATE TABLE templates (
  tenant TEXT, subject TEXT, modality TEXT, field TEXT, context TEXT, model TEXT, serving $whole NOT NULL,
  samples $whole NOT NULL, confirmed $whole NOT NULL, last_at $real NOT NULL, checkpoint TEXT,
  dropped $real, compared $whole NOT NULL DEFAULT 0, fitted $whole NOT NULL DEFAULT 0, sealed $bytes NOT NULL,
  PRIMARY KEY (tenant, subject, modality, field, context, model));
CREATE INDEX templates_last ON templates (last_at);
CREATE TABLE provenance (number $number, tenant TEXT NOT NULL, subject TEXT NOT NULL, password TEXT);
CREATE INDEX provenance_subject ON provenance (tenant, subject, number);
CREATE TABLE directory (tenant TEXT, subject TEXT, sealed $bytes NOT NULL, PRIMARY KEY (tenant, subject));
CREATE TABLE outbox (
  number $number, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, issuer TEXT NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, decision TEXT NOT NULL, body TEXT NOT NULL, attempts $whole NOT NULL, due $real,
  created $real NOT NULL, delivered $whole NOT NULL DEFAULT 0, error TEXT);
CREATE INDEX outbox_due ON outbox (due) WHERE due IS NOT NULL;
CREATE INDEX outbox_decision ON outbox (decision);
CREATE INDEX outbox_subject ON outbox (tenant, subject);
CREATE TABLE checkpoints (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, subject TEXT NOT NULL, modality TEXT NOT NULL, field TEXT NOT NULL,
  context TEXT NOT NULL, model TEXT NOT NULL, at $real NOT NULL, samples $whole NOT NULL, confirmed $whole NOT NULL,
  last_at $real NOT NULL, sealed $bytes NOT NULL);
CREATE INDEX checkpoints_profile ON checkpoints (tenant, subject, modality, field, context, at);
CREATE TABLE subjects (
  tenant TEXT, subject TEXT, consent TEXT NOT NULL, version TEXT, consent_at $real, confirmed $whole NOT NULL DEFAULT 0,
  recording TEXT, paused_at $real, proof $bytes NOT NULL, PRIMARY KEY (tenant, subject)) $keyed;
CREATE TABLE audit (
  tenant TEXT, number $whole, at $real NOT NULL, kind TEXT NOT NULL, actor TEXT NOT NULL, subject TEXT NOT NULL,
  details TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (tenant, number)) $keyed;
CREATE TABLE audit_checkpoints (
  tenant TEXT, number $whole, hash TEXT NOT NULL, at $real NOT NULL, key TEXT NOT NULL, signature TEXT NOT NULL,
  sent $whole NOT NULL DEFAULT 0, PRIMARY KEY (tenant, number)) $keyed;
CREATE TABLE audit_heads (
  tenant TEXT PRIMARY KEY, number $whole NOT NULL, hash TEXT NOT NULL, at $real NOT NULL, key TEXT NOT NULL,
  signature TEXT NOT NULL) $keyed;
