DROP TABLE policy_fares;
DROP TABLE policy_slots;
DROP TABLE policies;
