DROP TABLE secrets;
DROP TABLE user_keys;
