package orchestrator.connect;

import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.connect.connector.Task;

/** Writes action commands, or who is in audiences because of them, into a table. */
public final class JdbcSinkConnector extends CommandSinkConnector {
  static final String URL = "jdbc.url";
  static final String USER = "jdbc.user";
  static final String PASSWORD = "jdbc.password";
  static final String TABLE = "jdbc.table";
  static final String ROWS = "jdbc.rows";
  static final String COMMANDS = "commands";
  static final String MEMBERS = "members";

  static final ConfigDef SETTINGS =
      commonSettings(Links.TEXT)
          .define(URL, Type.STRING, ConfigDef.NO_DEFAULT_VALUE, JdbcSinkConnector::requireUrl, Importance.HIGH,
              "Address of the database, such as jdbc:postgresql://db.example.com/crm. Connect's class path has its driver.")
          .define(USER, Type.STRING, "", Importance.MEDIUM, "User to sign in as; empty: nobody signs in.")
          .define(PASSWORD, Type.PASSWORD, "", Importance.MEDIUM, "The user's password.")
          .define(TABLE, Type.STRING, "outbox", JdbcSinkConnector::requireName, Importance.MEDIUM,
              "The table, as deploy/connect/outbox.sql or audience_members.sql creates it.")
          .define(ROWS, Type.STRING, COMMANDS, ConfigDef.ValidString.in(COMMANDS, MEMBERS), Importance.MEDIUM,
              "What the rows are: commands (one for each, whatever is repeated), or members (of audiences: one for each"
                  + " member, from being added until being removed).");

  private static void requireUrl(String name, Object value) {
    // Not repeated in the message: it may hold a password.
    if (!String.valueOf(value).startsWith("jdbc:") || String.valueOf(value).matches("(?i).*password=.*")) {
      throw new ConfigException(name + " must begin with jdbc: and hold no password");
    }
  }

  private static void requireName(String name, Object value) {
    if (!String.valueOf(value).matches("[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)?")) {
      throw new ConfigException(name, value, "must be the name of a table");
    }
  }

  @Override
  public ConfigDef config() {
    return SETTINGS;
  }

  @Override
  public Class<? extends Task> taskClass() {
    return JdbcSinkTask.class;
  }

  @Override
  void check(Map<String, String> given, List<ConfigValue> values) {
    if (values.stream().anyMatch(value -> !value.errorMessages().isEmpty())) {
      return;
    }
    AbstractConfig settings = new AbstractConfig(SETTINGS, given, false);
    if (!settings.getString(USER).isEmpty() && settings.getPassword(PASSWORD).value().contains("${")) {
      values.add(problem(PASSWORD, "names a secret that Connect cannot find"));
    }
    if (JdbcSinkTask.driver(settings.getString(URL)) == null) {
      values.add(problem(URL, "needs a JDBC driver on Connect's class path"));
    }
  }
}
