-- Earlier entries of each field: to know typing again that was seen before, and how well scores tell a person from others.
-- Recalibrations: what scores are worth in a tenant; one that is being worked out has a cursor and what was counted so far.
CREATE TABLE entries (
  tenant TEXT, subject TEXT, modality TEXT, field TEXT, context TEXT, oldest_at $real NOT NULL, newest_at $real NOT NULL,
  sealed $bytes NOT NULL, PRIMARY KEY (tenant, subject, modality, field, context));
CREATE INDEX entries_oldest ON entries (oldest_at);
CREATE TABLE recalibrations (
  tenant TEXT, model TEXT, scale $real, shift $real, people $whole NOT NULL, at $real NOT NULL, position TEXT,
  counts $bytes, PRIMARY KEY (tenant, model));
