DROP TABLE marks;
DROP TABLE failed_logins;
DROP TABLE past_logins;
