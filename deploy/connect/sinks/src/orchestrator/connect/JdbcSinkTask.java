package orchestrator.connect;

import java.sql.Connection;
import java.sql.Driver;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.time.Instant;
import java.util.Map;
import java.util.Properties;
import java.util.ServiceLoader;
import org.apache.kafka.common.config.AbstractConfig;

/**
 * One row for each command. Its action id is the key of the table, so a repeat finds its row there and adds none.
 */
public final class JdbcSinkTask extends CommandSinkTask {
  private static final int CHECK_TIMEOUT_S = 5;

  private AbstractConfig settings;
  private Connection connection;

  @Override
  AbstractConfig open(Map<String, String> given) {
    settings = new AbstractConfig(JdbcSinkConnector.SETTINGS, given);
    return settings;
  }

  @Override
  void deliver(Command command) throws Refused, NotNow {
    try {
      connect();
      if (!isThere(command)) {
        insert(command);
      }
    } catch (SQLException error) {
      String state = String.valueOf(error.getSQLState());
      // 22: the values do not fit the columns; 23: a rule of the table. All else is about the database, not the command.
      if (state.startsWith("22") || state.startsWith("23")) {
        throw new Refused("sql_" + state, "the database refused the row");
      }
      close();
      throw new NotNow("the database does not take the row: SQL state " + state, 0);
    }
  }

  private boolean isThere(Command command) throws SQLException {
    String query = "SELECT 1 FROM " + settings.getString(JdbcSinkConnector.TABLE) + " WHERE action_id = ?";
    try (PreparedStatement statement = connection.prepareStatement(query)) {
      statement.setQueryTimeout(timeoutS());
      statement.setString(1, command.actionId());
      try (var rows = statement.executeQuery()) {
        return rows.next();
      }
    }
  }

  private void insert(Command command) throws SQLException {
    String insert =
        "INSERT INTO "
            + settings.getString(JdbcSinkConnector.TABLE)
            + " (action_id, customer_id, channel, kind, target, address, created_at, expires_at, command)"
            + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    try (PreparedStatement statement = connection.prepareStatement(insert)) {
      statement.setQueryTimeout(timeoutS());
      statement.setString(1, command.actionId());
      statement.setString(2, command.json().path("customer_id").asText());
      statement.setString(3, command.json().path("channel").asText());
      statement.setString(4, command.kind());
      statement.setString(5, command.json().path("target").asText());
      statement.setString(6, command.address());
      statement.setTimestamp(7, Timestamp.from(Instant.parse(command.json().path("created_at").asText())));
      statement.setTimestamp(8, new Timestamp(command.expiresAtMs()));
      statement.setString(9, command.json().toString());
      statement.executeUpdate();
    }
  }

  private int timeoutS() {
    return Math.max(1, settings.getInt(CommandSinkConnector.READ_TIMEOUT_MS) / 1000);
  }

  private void connect() throws SQLException {
    if (connection != null) {
      return;
    }
    String url = settings.getString(JdbcSinkConnector.URL);
    Driver driver = driver(url);
    if (driver == null) {
      throw new SQLException("no driver", "08001");
    }
    Properties properties = new Properties();
    if (!settings.getString(JdbcSinkConnector.USER).isEmpty()) {
      properties.put("user", settings.getString(JdbcSinkConnector.USER));
      properties.put("password", settings.getPassword(JdbcSinkConnector.PASSWORD).value());
    }
    Connection fresh = driver.connect(url, properties);
    fresh.setAutoCommit(true);
    if (!fresh.isValid(CHECK_TIMEOUT_S)) {
      fresh.close();
      throw new SQLException("not valid", "08001");
    }
    connection = fresh;
  }

  /** The driver that takes the address, from the plugin's own class path or from Connect's; null if there is none. */
  static Driver driver(String url) {
    for (Driver driver : ServiceLoader.load(Driver.class, JdbcSinkTask.class.getClassLoader())) {
      try {
        if (driver.acceptsURL(url)) {
          return driver;
        }
      } catch (SQLException error) {
        // It is not for this address.
      }
    }
    return null;
  }

  private void close() {
    try {
      if (connection != null) {
        connection.close();
      }
    } catch (SQLException error) {
      // It is gone in any case.
    }
    connection = null;
  }

  @Override
  public void stop() {
    super.stop();
    close();
  }
}
