-- What is remembered of the surroundings of a person's logins: one sealed row a person, so that a login reads and opens one.
CREATE TABLE past_logins (
  tenant TEXT, subject TEXT, oldest_at $real NOT NULL, last_at $real NOT NULL, sealed $bytes NOT NULL,
  PRIMARY KEY (tenant, subject)) $keyed;
CREATE INDEX past_logins_oldest ON past_logins (oldest_at);
CREATE TABLE failed_logins (
  tenant TEXT, subject TEXT, last_at $real NOT NULL, sealed $bytes NOT NULL, PRIMARY KEY (tenant, subject)) $keyed;
CREATE INDEX failed_logins_at ON failed_logins (last_at);
CREATE TABLE marks (
  tenant TEXT, subject TEXT, at $real NOT NULL, expires $real, sealed $bytes NOT NULL, PRIMARY KEY (tenant, subject)) $keyed;
