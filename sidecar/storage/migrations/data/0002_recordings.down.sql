DROP TABLE recorded;
DROP TABLE recordings;
