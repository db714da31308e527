DROP INDEX decisions_number;
DROP TABLE policy_fares;
CREATE TABLE policy_fares (
  digest TEXT, tenant TEXT, subject TEXT, passed $whole NOT NULL, at $real NOT NULL,
  PRIMARY KEY (digest, tenant, subject)) $keyed;
CREATE INDEX policy_fares_at ON policy_fares (at);
