-- The table of the audience-table template: one row for each member of an audience. PostgreSQL, H2 and others take it as it is.
CREATE TABLE audience_members (
  audience    VARCHAR(200) NOT NULL,
  member      VARCHAR(1000) NOT NULL,
  customer_id VARCHAR(1000) NOT NULL,
  since       TIMESTAMP WITH TIME ZONE NOT NULL,
  action_id   VARCHAR(200) NOT NULL,
  PRIMARY KEY (audience, member)
);
