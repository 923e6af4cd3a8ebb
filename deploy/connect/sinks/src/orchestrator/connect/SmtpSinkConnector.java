package orchestrator.connect;

import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.NonEmptyString;
import org.apache.kafka.common.config.ConfigDef.Range;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.ConfigDef.ValidString;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.connect.connector.Task;

/** Sends action commands as mail. */
public final class SmtpSinkConnector extends CommandSinkConnector {
  static final String HOST = "smtp.host";
  static final String PORT = "smtp.port";
  static final String SECURITY = "smtp.security";
  static final String USER = "smtp.user";
  static final String PASSWORD = "smtp.password";
  static final String FROM = "smtp.from";
  static final String REPLY_TO = "smtp.reply.to";

  static final ConfigDef SETTINGS =
      commonSettings(Links.HTML)
          .define(HOST, Type.STRING, ConfigDef.NO_DEFAULT_VALUE, new NonEmptyString(), Importance.HIGH,
              "Mail server that takes the messages.")
          .define(PORT, Type.INT, 587, Range.between(1, 65_535), Importance.HIGH, "Its port.")
          .define(SECURITY, Type.STRING, "starttls", ValidString.in("starttls", "tls", "none"), Importance.HIGH,
              "How the connection is encrypted. With starttls a server that does not offer it gets nothing.")
          .define(USER, Type.STRING, "", Importance.MEDIUM, "User to sign in as; empty: nobody signs in.")
          .define(PASSWORD, Type.PASSWORD, "", Importance.MEDIUM, "The user's password.")
          .define(FROM, Type.STRING, ConfigDef.NO_DEFAULT_VALUE, new NonEmptyString(), Importance.HIGH,
              "Sender, such as `The shop <shop@example.com>`.")
          .define(REPLY_TO, Type.STRING, "", Importance.LOW, "Where answers go; empty: to the sender.");

  @Override
  public ConfigDef config() {
    return SETTINGS;
  }

  @Override
  public Class<? extends Task> taskClass() {
    return SmtpSinkTask.class;
  }

  @Override
  void check(Map<String, String> given, List<ConfigValue> values) {
    if (values.stream().anyMatch(value -> !value.errorMessages().isEmpty())) {
      return;
    }
    AbstractConfig settings = new AbstractConfig(SETTINGS, given, false);
    for (String name : List.of(FROM, REPLY_TO)) {
      try {
        Mail.configured(settings.getString(name), name);
      } catch (ConfigException error) {
        values.add(problem(name, "is not one mail address"));
      }
    }
    if (!settings.getString(USER).isEmpty() && settings.getPassword(PASSWORD).value().contains("${")) {
      values.add(problem(PASSWORD, "names a secret that Connect cannot find"));
    }
  }
}
