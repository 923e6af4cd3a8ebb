package orchestrator.connect;

import java.sql.Connection;
import java.sql.Driver;
import java.sql.SQLException;
import java.util.Map;
import java.util.Properties;
import java.util.ServiceLoader;
import org.apache.kafka.common.config.AbstractConfig;

/** Rows of a table, each there once, however often its command comes. */
public final class JdbcSinkTask extends CommandSinkTask {
  private static final int CHECK_TIMEOUT_S = 5;

  /** Without time-outs, which each driver has by names of its own, a server that falls silent would stop its task for good. */
  private static final String POSTGRESQL = "jdbc:postgresql:";

  private AbstractConfig settings;
  private JdbcTable table;
  private Connection connection;

  @Override
  AbstractConfig open(Map<String, String> given) {
    settings = new AbstractConfig(JdbcSinkConnector.SETTINGS, given);
    String name = settings.getString(JdbcSinkConnector.TABLE);
    table =
        settings.getString(JdbcSinkConnector.ROWS).equals(JdbcSinkConnector.MEMBERS)
            ? new AudienceTable(name, timeoutS())
            : new OutboxTable(name, timeoutS());
    return settings;
  }

  @Override
  void deliver(Command command) throws Refused, NotNow {
    try {
      connect();
      take(command);
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

  private void take(Command command) throws SQLException, Refused {
    try {
      table.take(connection, command);
    } catch (SQLException error) {
      // A task that lost its place in the group without knowing may have been quicker by a moment.
      if (!String.valueOf(error.getSQLState()).startsWith("23") || !table.has(connection, command)) {
        throw error;
      }
    }
  }

  private int timeoutS() {
    return Math.max(1, settings.getInt(CommandSinkConnector.READ_TIMEOUT_MS) / 1000);
  }

  private int connectTimeoutS() {
    return Math.max(1, settings.getInt(CommandSinkConnector.CONNECT_TIMEOUT_MS) / 1000);
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
    if (url.startsWith(POSTGRESQL)) {
      // What the address says about them counts more.
      properties.put("connectTimeout", String.valueOf(connectTimeoutS()));
      properties.put("loginTimeout", String.valueOf(connectTimeoutS() + timeoutS()));
      properties.put("socketTimeout", String.valueOf(2 * timeoutS()));
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
