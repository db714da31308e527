-- The key store: every person's data key and the installation's own secrets, each wrapped by a master key.
CREATE TABLE user_keys (
  tenant TEXT, subject TEXT, key_id $bytes NOT NULL, master TEXT NOT NULL, wrapped $bytes NOT NULL,
  PRIMARY KEY (tenant, subject)) $keyed;
CREATE UNIQUE INDEX user_keys_id ON user_keys (key_id);
CREATE INDEX user_keys_master ON user_keys (master);
CREATE TABLE secrets (name TEXT PRIMARY KEY, master TEXT NOT NULL, wrapped $bytes NOT NULL) $keyed;
