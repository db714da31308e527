DROP TABLE audit_heads;
DROP TABLE audit_checkpoints;
DROP TABLE audit;
DROP TABLE recorded;
DROP TABLE recordings;
DROP TABLE subjects;
DROP TABLE checkpoints;
ALTER TABLE templates RENAME TO templates_0002;
DROP INDEX templates_last;
CREATE TABLE templates (
  tenant TEXT, subject TEXT, modality TEXT, field TEXT, context TEXT, samples $whole NOT NULL,
  confirmed $whole NOT NULL, last_at $real NOT NULL, sealed $bytes NOT NULL,
  PRIMARY KEY (tenant, subject, modality, field, context)) $keyed;
INSERT INTO templates
  SELECT tenant, subject, modality, field, context, samples, confirmed, last_at, sealed FROM templates_0002
  WHERE serving = 1;
DROP TABLE templates_0002;
ALTER TABLE samples DROP COLUMN unlearned;
ALTER TABLE samples DROP COLUMN confirmed;
ALTER TABLE samples DROP COLUMN model;
