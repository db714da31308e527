DROP TABLE recalibrations;
DROP TABLE entries;
