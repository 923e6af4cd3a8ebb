package orchestrator.connect;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.Config;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.NonEmptyString;
import org.apache.kafka.common.config.ConfigDef.Range;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.connect.sink.SinkConnector;

/** What the sinks of action commands have in common: their settings, and the settings of Connect that they rely on. */
abstract class CommandSinkConnector extends SinkConnector {
  static final String REGISTRY_URL = "registry.url";
  static final String REGISTRY_AUTHORIZATION = "registry.authorization";
  static final String RECALLS_TOPIC = "recalls.topic";
  static final String RECALLS_BOOTSTRAP_SERVERS = "recalls.bootstrap.servers";
  static final String RECALLS_CONSUMER = "recalls.consumer";
  static final String RECALLS_ANEW_MS = "recalls.anew.ms";
  static final String KINDS = "command.kinds";
  static final String ADDRESSES = "command.addresses";
  static final String BACKOFF_MS = "retry.backoff.ms";
  static final String BACKOFF_MAX_MS = "retry.backoff.max.ms";
  static final String RETRY_AFTER_MAX_MS = "retry.after.max.ms";
  static final String PUT_TIME_MAX_MS = "put.time.max.ms";
  static final String CONNECT_TIMEOUT_MS = "connect.timeout.ms";
  static final String READ_TIMEOUT_MS = "read.timeout.ms";

  private static final String BYTES = "org.apache.kafka.connect.converters.ByteArrayConverter";
  private static final Map<String, String> NEEDED =
      Map.of(
          "key.converter", BYTES,
          "value.converter", BYTES,
          "header.converter", BYTES,
          "errors.tolerance", "all");
  private static final String DEAD_LETTERS = "errors.deadletterqueue.topic.name";

  private Map<String, String> settings;

  /** The settings of every sink; each sink adds its own. {@code form} is what its messages are: HTML or text. */
  static ConfigDef commonSettings(String form) {
    return Links.define(new ConfigDef(), form)
        .define(REGISTRY_URL, Type.STRING, ConfigDef.NO_DEFAULT_VALUE, new WebAddress(), Importance.HIGH,
            "Address of the schema registry (Confluent REST API).")
        .define(REGISTRY_AUTHORIZATION, Type.PASSWORD, "", Importance.MEDIUM,
            "Value of the Authorization header towards the schema registry.")
        .define(RECALLS_TOPIC, Type.STRING, ConfigDef.NO_DEFAULT_VALUE, new NonEmptyString(), Importance.HIGH,
            "Topic that says whose commands are called back, because the customer was forgotten.")
        .define(RECALLS_BOOTSTRAP_SERVERS, Type.STRING, ConfigDef.NO_DEFAULT_VALUE, new NonEmptyString(),
            Importance.HIGH, "Brokers to read it from, HOST:PORT,….")
        .define(RECALLS_CONSUMER, Type.PASSWORD, "", Importance.MEDIUM,
            "How to sign in to these brokers, as Kafka's clients are told: NAME=VALUE, one a line. Never shown.")
        .define(RECALLS_ANEW_MS, Type.LONG, 86_400_000L, Range.atLeast(1), Importance.LOW,
            "How often it is read from its beginning again, so that what is gone from it leaves the memory too.")
        .define(KINDS, Type.LIST, "", Importance.MEDIUM,
            "Kinds of commands that this sink delivers (send, audience_add, …); it passes over all others."
                + " Empty: every kind.")
        .define(ADDRESSES, Type.LIST, "", Importance.MEDIUM,
            "Addresses that this sink delivers to, such as the endpoint of a webhook; it passes over all others."
                + " Empty: every address.")
        .define(BACKOFF_MS, Type.LONG, 1_000L, Range.atLeast(1), Importance.LOW,
            "First pause before a command is tried again; it doubles from try to try.")
        .define(BACKOFF_MAX_MS, Type.LONG, 60_000L, Range.atLeast(1), Importance.LOW, "Longest such pause.")
        .define(RETRY_AFTER_MAX_MS, Type.LONG, 3_600_000L, Range.atLeast(0), Importance.LOW,
            "Longest pause that the other side may ask for.")
        .define(PUT_TIME_MAX_MS, Type.LONG, 60_000L, Range.atLeast(1), Importance.LOW,
            "After this time the task gives Connect control, so that a slow receiver does not cost it its partitions."
                + " Well below max.poll.interval.ms.")
        .define(CONNECT_TIMEOUT_MS, Type.INT, 5_000, Range.atLeast(1), Importance.LOW,
            "How long opening a connection may take.")
        .define(READ_TIMEOUT_MS, Type.INT, 15_000, Range.atLeast(1), Importance.LOW,
            "How long an answer may take.");
  }

  @Override
  public void start(Map<String, String> settings) {
    this.settings = settings;
  }

  @Override
  public List<Map<String, String>> taskConfigs(int count) {
    return new ArrayList<>(Collections.nCopies(count, settings));
  }

  @Override
  public void stop() {}

  @Override
  public String version() {
    return versionOf(getClass());
  }

  static String versionOf(Class<?> type) {
    String version = type.getPackage().getImplementationVersion();
    return version == null ? "0" : version;
  }

  /** Refuses settings of Connect with which commands could be lost or changed on their way. */
  @Override
  public Config validate(Map<String, String> given) {
    List<ConfigValue> values = new ArrayList<>(super.validate(given).configValues());
    NEEDED.forEach(
        (name, needed) -> {
          if (!needed.equals(given.get(name))) {
            values.add(problem(name, "must be " + needed));
          }
        });
    if (given.getOrDefault(DEAD_LETTERS, "").isBlank()) {
      values.add(problem(DEAD_LETTERS, "must name a topic: without it, refused commands would be lost"));
    }
    if (values.stream().allMatch(value -> value.errorMessages().isEmpty())) {
      AbstractConfig settings = new AbstractConfig(config(), given, false);
      try {
        Recalls.client(settings);
      } catch (ConfigException error) {
        values.add(problem(RECALLS_CONSUMER, error.getMessage()));
      }
      Links.check(settings, values);
    }
    check(given, values);
    return new Config(values);
  }

  /** Checks of one sink that need more than one setting. */
  void check(Map<String, String> given, List<ConfigValue> values) {}

  static ConfigValue problem(String name, String text) {
    // Without the value: Connect would have to know its type, and some values are secret.
    return new ConfigValue(name, null, List.of(), new ArrayList<>(List.of(name + " " + text)));
  }
}
