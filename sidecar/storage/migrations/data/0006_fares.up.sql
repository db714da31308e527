-- How people fared, by the time a version has stood in its place: what they passed before says nothing about now.
DROP TABLE policy_fares;
CREATE TABLE policy_fares (
  number $whole, since $real, tenant TEXT, subject TEXT, passed $whole NOT NULL, at $real NOT NULL,
  PRIMARY KEY (number, since, tenant, subject)) $keyed;
CREATE INDEX policy_fares_at ON policy_fares (at);
-- Recorded decisions are read page by page; without it each page sorts all of a tenant's.
CREATE INDEX decisions_number ON decisions (tenant, number);
