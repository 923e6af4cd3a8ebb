package orchestrator.connect;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.metrics.Gauge;
import org.apache.kafka.common.metrics.PluginMetrics;
import org.apache.kafka.common.metrics.Sensor;
import org.apache.kafka.common.metrics.stats.CumulativeCount;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.errors.RetriableException;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Headers;
import org.apache.kafka.connect.sink.ErrantRecordReporter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Delivers commands one after the other, in the order of their partition.
 *
 * <p>A command that the other side cannot take now is held, and all that come after it; one that it will never take, or
 * that is past its expiry, goes to the dead-letter topic with the reason in its headers. Of one whose customer was
 * forgotten only the headers go there. After a crash, commands since the last committed offset are delivered again:
 * receivers drop repeats by the action id.
 */
abstract class CommandSinkTask extends SinkTask {
  private static final Logger LOG = LoggerFactory.getLogger(CommandSinkTask.class);
  private static final int DOUBLINGS_MAX = 20;
  private static final long NOTHING_HELD = Long.MIN_VALUE;
  private static final String RECALLED = "recalled";

  /** How old what is known of recalls may be: one question to the broker in this time, and one for each batch. */
  private static final long RECALLS_NS_MAX = 1_000_000_000L;

  private AbstractConfig settings;
  private CommandDecoder decoder;
  private Recalls recalls;
  private long recallsAt;
  private Links links;
  private ErrantRecordReporter deadLetters;
  private List<String> kinds;
  private List<String> addresses;
  private String name;
  private int failures;

  /** Other threads read it. */
  private volatile long heldSince = NOTHING_HELD;

  private long pausedUntil;
  private final Map<TopicPartition, Long> next = new HashMap<>();
  private final Map<String, Sensor> sensors = new LinkedHashMap<>();
  private final Map<String, Long> counts = new LinkedHashMap<>();

  /** The sink's own settings, checked. */
  abstract AbstractConfig open(Map<String, String> given);

  /** Delivers the command, once, or says why not. */
  abstract void deliver(Command command) throws Refused, NotNow;

  @Override
  public void start(Map<String, String> given) {
    settings = open(given);
    name = given.getOrDefault("name", "");
    kinds = listed(CommandSinkConnector.KINDS);
    addresses = listed(CommandSinkConnector.ADDRESSES);
    deadLetters = context.errantRecordReporter();
    String authorization = settings.getPassword(CommandSinkConnector.REGISTRY_AUTHORIZATION).value();
    if (authorization.contains("${")) {
      throw new ConnectException(
          CommandSinkConnector.REGISTRY_AUTHORIZATION + " names a secret that Connect cannot find");
    }
    decoder =
        new CommandDecoder(
            settings.getString(CommandSinkConnector.REGISTRY_URL),
            authorization,
            Duration.ofMillis(settings.getInt(CommandSinkConnector.CONNECT_TIMEOUT_MS)),
            Duration.ofMillis(settings.getInt(CommandSinkConnector.READ_TIMEOUT_MS)));
    recalls = new Recalls(settings, name);
    links = Links.of(settings);
    PluginMetrics metrics = context.pluginMetrics();
    for (String outcome : List.of("delivered", "passed_over", "held", "expired", RECALLED, "refused")) {
      Sensor sensor = metrics.addSensor(outcome);
      sensor.add(
          metrics.metricName(outcome + "-total", "Commands by what became of them.", new LinkedHashMap<>()),
          new CumulativeCount());
      sensors.put(outcome, sensor);
    }
    gauge(metrics, "held-seconds", "For how long a command has been held.", this::heldSeconds);
    gauge(metrics, "recalls", "Customers who are known to be forgotten.", () -> (double) recalls.size());
  }

  private static void gauge(PluginMetrics metrics, String name, String text, Supplier<Double> value) {
    Gauge<Double> gauge = (config, nowMs) -> value.get();
    metrics.addMetric(metrics.metricName(name, text, new LinkedHashMap<>()), gauge);
  }

  private double heldSeconds() {
    return heldSince == NOTHING_HELD ? 0 : (System.nanoTime() - heldSince) / 1e9;
  }

  @Override
  public void put(Collection<SinkRecord> records) {
    long start = System.nanoTime();
    if (failures > 0 && start < pausedUntil) {
      // Connect comes back early when it has offsets to commit.
      hold((pausedUntil - start) / 1_000_000 + 1, "the pause is not over");
    }
    boolean isKnown = false;
    long limit = settings.getLong(CommandSinkConnector.PUT_TIME_MAX_MS) * 1_000_000;
    for (SinkRecord record : records) {
      TopicPartition partition = new TopicPartition(record.originalTopic(), record.originalKafkaPartition());
      // After a RetriableException the whole batch is given again.
      if (record.originalKafkaOffset() < next.getOrDefault(partition, 0L)) {
        continue;
      }
      if (System.nanoTime() - start > limit) {
        context.timeout(1);
        throw new RetriableException("the receiver is slow; going on after a word with Connect");
      }
      // Anew for each batch: it may have been held since, and a recall that was there before it came must count.
      if (!isKnown || System.nanoTime() - recallsAt > RECALLS_NS_MAX) {
        learnRecalls();
        isKnown = true;
      }
      take(record);
      failures = 0;
      heldSince = NOTHING_HELD;
      next.put(partition, record.originalKafkaOffset() + 1);
    }
  }

  private void learnRecalls() {
    try {
      recalls.catchUp();
      recallsAt = System.nanoTime();
    } catch (NotNow notNow) {
      holdFor(notNow);
    }
  }

  private void take(SinkRecord record) {
    try {
      Command command = decoder.decode(bytes(record.value()));
      if (isForAnother(command)) {
        count("passed_over");
        return;
      }
      // Before all that would leave its bytes in the dead-letter topic.
      if (recalls.isRecalled(command)) {
        throw new Refused(RECALLED, "the customer was forgotten");
      }
      if (command.expiresAtMs() <= System.currentTimeMillis()) {
        throw new Refused("expired", "expired at " + Instant.ofEpochMilli(command.expiresAtMs()));
      }
      deliver(links.led(command));
      count("delivered");
    } catch (Refused refused) {
      reject(record, refused);
    } catch (NotNow notNow) {
      holdFor(notNow);
    }
  }

  private void holdFor(NotNow notNow) {
    count("held");
    if (heldSince == NOTHING_HELD) {
      heldSince = System.nanoTime();
    }
    long pause = Math.max(backoff(), Math.min(notNow.retryAfterMs, longest()));
    failures++;
    pausedUntil = System.nanoTime() + pause * 1_000_000;
    hold(pause, notNow.getMessage());
  }

  private void hold(long pauseMs, String why) {
    context.timeout(pauseMs);
    throw new RetriableException(why + "; trying again in " + pauseMs + " ms");
  }

  private List<String> listed(String setting) {
    return settings.getList(setting).stream().filter(entry -> !entry.isBlank()).toList();
  }

  private boolean isForAnother(Command command) {
    return (!kinds.isEmpty() && !kinds.contains(command.kind()))
        || (!addresses.isEmpty() && !addresses.contains(command.address()));
  }

  private long longest() {
    return settings.getLong(CommandSinkConnector.RETRY_AFTER_MAX_MS);
  }

  private long backoff() {
    long first = settings.getLong(CommandSinkConnector.BACKOFF_MS);
    long most = settings.getLong(CommandSinkConnector.BACKOFF_MAX_MS);
    long pause = Math.min(most, first << Math.min(failures, DOUBLINGS_MAX));
    // Tasks that were refused together should not come back together.
    return pause / 2 + ThreadLocalRandom.current().nextLong(pause / 2 + 1);
  }

  private static byte[] bytes(Object value) {
    if (value == null || value instanceof byte[]) {
      return (byte[]) value;
    }
    throw new ConnectException("value.converter must be the ByteArrayConverter, and no transform may change values");
  }

  private void reject(SinkRecord record, Refused refused) {
    if (deadLetters == null) {
      throw new ConnectException(
          "a command was refused (" + refused.reason + ") and no dead-letter topic is configured");
    }
    boolean isForgotten = refused.reason.equals(RECALLED);
    // Of who was forgotten nothing is written anew: only where the command stands, for as long as it does.
    Headers headers = isForgotten ? new ConnectHeaders() : new ConnectHeaders(record.headers());
    add(headers, "dlq.topic", record.originalTopic());
    add(headers, "dlq.partition", String.valueOf(record.originalKafkaPartition()));
    add(headers, "dlq.offset", String.valueOf(record.originalKafkaOffset()));
    add(headers, "dlq.timestamp", String.valueOf(record.timestamp()));
    add(headers, "dlq.reason", refused.reason);
    add(headers, "dlq.detail", refused.getMessage());
    add(headers, "dlq.connector", name);
    // Built anew: of the record as Connect gave it, the reporter would write the original without these headers.
    SinkRecord dead =
        new SinkRecord(
            record.originalTopic(), record.originalKafkaPartition(),
            record.keySchema(), isForgotten ? null : record.key(),
            record.valueSchema(), isForgotten ? null : record.value(),
            record.originalKafkaOffset(), record.timestamp(), record.timestampType(), headers);
    // Connect waits for these before it commits offsets.
    deadLetters.report(dead, new ConnectException(refused.reason + ": " + refused.getMessage()));
    count(sensors.containsKey(refused.reason) ? refused.reason : "refused");
  }

  private static void add(Headers headers, String key, String value) {
    headers.addBytes(key, value.getBytes(StandardCharsets.UTF_8));
  }

  private void count(String outcome) {
    sensors.get(outcome).record();
    counts.merge(outcome, 1L, Long::sum);
  }

  @Override
  public Map<TopicPartition, OffsetAndMetadata> preCommit(Map<TopicPartition, OffsetAndMetadata> offsets) {
    if (!counts.isEmpty()) {
      LOG.info("{}: {}", name, counts);
      counts.clear();
    }
    return offsets;
  }

  @Override
  public void open(Collection<TopicPartition> partitions) {
    partitions.forEach(next::remove);
  }

  @Override
  public void close(Collection<TopicPartition> partitions) {
    // Another task may hold from now on what was held here; what still is shows at the next try.
    heldSince = NOTHING_HELD;
  }

  @Override
  public void stop() {
    if (recalls != null) {
      recalls.close();
    }
  }

  @Override
  public String version() {
    return CommandSinkConnector.versionOf(getClass());
  }
}
