package orchestrator.connect;

import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;

/** One row for each command: {@code outbox.sql}. The action id is its key. */
final class OutboxTable extends JdbcTable {
  OutboxTable(String name, int timeoutS) {
    super(name, timeoutS);
  }

  @Override
  void take(Connection connection, Command command) throws SQLException {
    if (has(connection, command)) {
      return;
    }
    run(
        connection,
        "INSERT INTO " + name
            + " (action_id, customer_id, channel, kind, target, address, created_at, expires_at, command)"
            + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        command.actionId(),
        text(command, "customer_id"),
        text(command, "channel"),
        command.kind(),
        text(command, "target"),
        command.address(),
        at(Instant.parse(text(command, "created_at"))),
        at(Instant.ofEpochMilli(command.expiresAtMs())),
        command.json().toString());
  }

  @Override
  boolean has(Connection connection, Command command) throws SQLException {
    return isAny(connection, "SELECT 1 FROM " + name + " WHERE action_id = ?", command.actionId());
  }
}
