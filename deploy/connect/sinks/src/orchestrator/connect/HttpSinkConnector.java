package orchestrator.connect;

import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.ConfigDef.ValidString;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.connect.connector.Task;

/** Sends action commands to a web address. */
public final class HttpSinkConnector extends CommandSinkConnector {
  static final String URL = "http.url";
  static final String METHOD = "http.method";
  static final String HEADERS = "http.headers";
  static final String CONTENT_TYPE = "http.content.type";
  static final String BODY = "http.body";
  static final String BODY_FIELD = "http.body.field";
  static final String METHOD_OF_COMMAND = "{{content.method}}";

  static final ConfigDef SETTINGS =
      commonSettings(Links.TEXT)
          .define(URL, Type.STRING, ConfigDef.NO_DEFAULT_VALUE, new WebAddress(), Importance.HIGH,
              "Where commands are sent.")
          .define(METHOD, Type.STRING, "POST", ValidString.in("POST", "PUT", "PATCH", "DELETE", METHOD_OF_COMMAND),
              Importance.MEDIUM, "Method of the request; {{content.method}} takes the command's own.")
          .define(HEADERS, Type.PASSWORD, "", Importance.MEDIUM,
              "Headers of each request, `Name: value`, one a line. They are never shown.")
          .define(CONTENT_TYPE, Type.STRING, "application/json",
              ValidString.in("application/json", "application/x-www-form-urlencoded"), Importance.MEDIUM,
              "How the body is written, and how values are escaped in it.")
          .define(BODY, Type.STRING, "", Importance.MEDIUM,
              "The body, with {{address}}, {{content.body}}, … for fields of the command."
                  + " Empty: the whole command as JSON.")
          .define(BODY_FIELD, Type.STRING, "", Importance.MEDIUM,
              "A field of the command, such as content.body, that is the whole body as it is: JSON text.");

  @Override
  public ConfigDef config() {
    return SETTINGS;
  }

  @Override
  public Class<? extends Task> taskClass() {
    return HttpSinkTask.class;
  }

  @Override
  void check(Map<String, String> given, List<ConfigValue> values) {
    if (values.stream().anyMatch(value -> !value.errorMessages().isEmpty())) {
      return;
    }
    AbstractConfig settings = new AbstractConfig(SETTINGS, given, false);
    try {
      HttpSinkTask.headers(settings);
    } catch (ConfigException error) {
      values.add(problem(HEADERS, error.getMessage()));
    }
    try {
      BodyTemplate.of(settings);
    } catch (ConfigException error) {
      values.add(problem(BODY, error.getMessage()));
    }
  }
}
