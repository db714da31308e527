-- When an effect reached its provider: how long a session lived on after it was to end.
ALTER TABLE outbox ADD COLUMN delivered_at $real;
