package orchestrator.connect;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.connect.connector.Task;

/** Writes action commands to a file, as JSON Lines. */
public final class FileSinkConnector extends CommandSinkConnector {
  static final String PATH = "file.path";

  static final ConfigDef SETTINGS =
      commonSettings(Links.TEXT)
          .define(PATH, Type.STRING, ConfigDef.NO_DEFAULT_VALUE, FileSinkConnector::requireAbsolute, Importance.HIGH,
              "File to append to, on the machine of the task.");

  private static void requireAbsolute(String name, Object value) {
    if (!Path.of(String.valueOf(value)).isAbsolute()) {
      throw new ConfigException(name, value, "must be an absolute path");
    }
  }

  @Override
  public ConfigDef config() {
    return SETTINGS;
  }

  @Override
  public Class<? extends Task> taskClass() {
    return FileSinkTask.class;
  }

  @Override
  public List<Map<String, String>> taskConfigs(int count) {
    // One file has one writer.
    return super.taskConfigs(1);
  }
}
