-- The table of the jdbc template: one row for each command, whatever is repeated. PostgreSQL, H2 and others take it as it is.
CREATE TABLE outbox (
  action_id   VARCHAR(200) PRIMARY KEY,
  customer_id VARCHAR(1000) NOT NULL,
  channel     VARCHAR(200) NOT NULL,
  kind        VARCHAR(200) NOT NULL,
  target      VARCHAR(200) NOT NULL,
  address     VARCHAR(1000) NOT NULL,
  created_at  TIMESTAMP WITH TIME ZONE NOT NULL,
  expires_at  TIMESTAMP WITH TIME ZONE NOT NULL,
  command     TEXT NOT NULL
);
