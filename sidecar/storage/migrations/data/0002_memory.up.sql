-- Which model a sample was judged by and what was taken back; a template for every model, one of which serves.
ALTER TABLE samples ADD COLUMN model TEXT NOT NULL DEFAULT '';
ALTER TABLE samples ADD COLUMN confirmed $whole NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN unlearned $real;
ALTER TABLE templates RENAME TO templates_0001;
CREATE TABLE templates (
  tenant TEXT, subject TEXT, modality TEXT, field TEXT, context TEXT, model TEXT, serving $whole NOT NULL,
  samples $whole NOT NULL, confirmed $whole NOT NULL, last_at $real NOT NULL, checkpoint TEXT,
  dropped $real, compared $whole NOT NULL DEFAULT 0, fitted $whole NOT NULL DEFAULT 0, sealed $bytes NOT NULL,
  PRIMARY KEY (tenant, subject, modality, field, context, model));
INSERT INTO templates (tenant, subject, modality, field, context, model, serving, samples, confirmed, last_at, sealed)
  SELECT tenant, subject, modality, field, context, 'nearest-recent-1', 1, samples, confirmed, last_at, sealed
  FROM templates_0001;
DROP TABLE templates_0001;
CREATE INDEX templates_last ON templates (last_at);
CREATE TABLE checkpoints (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, subject TEXT NOT NULL, modality TEXT NOT NULL, field TEXT NOT NULL,
  context TEXT NOT NULL, model TEXT NOT NULL, at $real NOT NULL, samples $whole NOT NULL, confirmed $whole NOT NULL,
  last_at $real NOT NULL, sealed $bytes NOT NULL);
CREATE INDEX checkpoints_profile ON checkpoints (tenant, subject, modality, field, context, at);
CREATE TABLE subjects (
  tenant TEXT, subject TEXT, consent TEXT NOT NULL, version TEXT, consent_at $real, confirmed $whole NOT NULL DEFAULT 0,
  recording TEXT, paused_at $real, proof $bytes NOT NULL, PRIMARY KEY (tenant, subject)) $keyed;
CREATE TABLE recordings (
  tenant TEXT, name TEXT, purpose TEXT NOT NULL, began $real NOT NULL, ends $real NOT NULL, PRIMARY KEY (tenant, name)) $keyed;
CREATE TABLE recorded (
  number $number, tenant TEXT NOT NULL, subject TEXT NOT NULL, recording TEXT NOT NULL, decision TEXT NOT NULL,
  at $real NOT NULL, sealed $bytes NOT NULL);
CREATE INDEX recorded_subject ON recorded (tenant, subject);
CREATE TABLE audit (
  tenant TEXT, number $whole, at $real NOT NULL, kind TEXT NOT NULL, actor TEXT NOT NULL, subject TEXT NOT NULL,
  details TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (tenant, number)) $keyed;
CREATE TABLE audit_checkpoints (
  tenant TEXT, number $whole, hash TEXT NOT NULL, at $real NOT NULL, key TEXT NOT NULL, signature TEXT NOT NULL,
  sent $whole NOT NULL DEFAULT 0, PRIMARY KEY (tenant, number)) $keyed;
CREATE TABLE audit_heads (
  tenant TEXT PRIMARY KEY, number $whole NOT NULL, hash TEXT NOT NULL, at $real NOT NULL, key TEXT NOT NULL,
  signature TEXT NOT NULL) $keyed;
