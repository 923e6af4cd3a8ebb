package orchestrator.connect;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;

/** What a command is in a table: rows that are there once, however often the command comes. */
abstract class JdbcTable {
  private final int timeoutS;

  /** The name as it is configured, checked there: it becomes part of statements. */
  final String name;

  JdbcTable(String name, int timeoutS) {
    this.name = name;
    this.timeoutS = timeoutS;
  }

  /**
   * Brings the table to where the command wants it.
   *
   * @throws Refused for a command that is none for this table
   */
  abstract void take(Connection connection, Command command) throws SQLException, Refused;

  /** Whether the table is where the command wants it already. */
  abstract boolean has(Connection connection, Command command) throws SQLException;

  final boolean isAny(Connection connection, String query, Object... values) throws SQLException {
    try (PreparedStatement statement = filled(connection, query, values);
        var rows = statement.executeQuery()) {
      return rows.next();
    }
  }

  final void run(Connection connection, String text, Object... values) throws SQLException {
    try (PreparedStatement statement = filled(connection, text, values)) {
      statement.executeUpdate();
    }
  }

  private PreparedStatement filled(Connection connection, String text, Object... values) throws SQLException {
    PreparedStatement statement = connection.prepareStatement(text);
    try {
      statement.setQueryTimeout(timeoutS);
      for (int index = 0; index < values.length; index++) {
        statement.setObject(index + 1, values[index]);
      }
      return statement;
    } catch (SQLException error) {
      statement.close();
      throw error;
    }
  }

  static String text(Command command, String field) {
    return command.json().path(field).asText();
  }

  /** An instant with its offset: nothing depends on the zone that a worker of Connect is set to. */
  static OffsetDateTime at(Instant instant) {
    return instant.atOffset(ZoneOffset.UTC);
  }
}
