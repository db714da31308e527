-- Named recordings of people who agreed to one.
CREATE TABLE recordings (
  tenant TEXT, name TEXT, purpose TEXT NOT NULL, began $real NOT NULL, ends $real NOT NULL, PRIMARY KEY (tenant, name)) $keyed;
CREATE TABLE recorded (
  number $number, tenant TEXT NOT NULL, subject TEXT NOT NULL, recording TEXT NOT NULL, decision TEXT NOT NULL,
  at $real NOT NULL, sealed $bytes NOT NULL);
CREATE INDEX recorded_subject ON recorded (tenant, subject);
