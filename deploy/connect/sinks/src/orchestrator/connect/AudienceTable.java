package orchestrator.connect;

import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;

/**
 * One row for each member of an audience: {@code audience_members.sql}. Who is added has a row from then on, and who is removed
 * has none.
 *
 * <p>Commands of a customer come in order, also when they come again after a crash, so the last one has the last word.
 */
final class AudienceTable extends JdbcTable {
  private static final String ADD = "audience_add";
  private static final String REMOVE = "audience_remove";

  AudienceTable(String name, int timeoutS) {
    super(name, timeoutS);
  }

  @Override
  void take(Connection connection, Command command) throws SQLException, Refused {
    String audience = text(command, "target");
    switch (command.kind()) {
      case ADD -> {
        if (!isMember(connection, command)) {
          run(
              connection,
              "INSERT INTO " + name + " (audience, member, customer_id, since, action_id) VALUES (?, ?, ?, ?, ?)",
              audience,
              command.address(),
              text(command, "customer_id"),
              at(Instant.parse(text(command, "created_at"))),
              command.actionId());
        }
      }
      case REMOVE ->
          run(connection, "DELETE FROM " + name + " WHERE audience = ? AND member = ?", audience, command.address());
      default -> throw new Refused("bad_kind", "the command's kind is neither " + ADD + " nor " + REMOVE);
    }
  }

  @Override
  boolean has(Connection connection, Command command) throws SQLException {
    return isMember(connection, command) == command.kind().equals(ADD);
  }

  private boolean isMember(Connection connection, Command command) throws SQLException {
    return isAny(
        connection,
        "SELECT 1 FROM " + name + " WHERE audience = ? AND member = ?",
        text(command, "target"),
        command.address());
  }
}
