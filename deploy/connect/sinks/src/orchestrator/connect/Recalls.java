package orchestrator.connect;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.connect.errors.ConnectException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whose commands are called back, because the customer was forgotten after they were written.
 *
 * <p>The topic of recalls is read whole at first, and then up to its end whenever {@link #catchUp} is called: a recall
 * that was committed before the call counts after it. Not by Connect's own consumer: that one does not read while a
 * command is held, and that is when recalls matter.
 */
final class Recalls implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Recalls.class);
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final AtomicInteger NUMBER = new AtomicInteger();

  /** As in orchestrator/runtime/recalls.py. */
  private static final byte[] KIND = "orchestrator.recall:".getBytes(StandardCharsets.UTF_8);

  private static final int DIGEST_BYTES = 16;
  private static final Duration POLL = Duration.ofMillis(100);

  private final String topic;
  private final Properties client;
  private final Duration answerTime;
  private final long readingNs;
  private final long anewNs;
  private KafkaConsumer<byte[], byte[]> consumer;
  private List<TopicPartition> partitions;
  private volatile RecallTable table = new RecallTable();
  private boolean isStarted;
  private long startedAt;

  Recalls(AbstractConfig settings, String connector) {
    topic = settings.getString(CommandSinkConnector.RECALLS_TOPIC);
    client = client(settings);
    client.put(ConsumerConfig.CLIENT_ID_CONFIG, connector + "-recalls-" + NUMBER.incrementAndGet());
    answerTime = Duration.ofMillis(settings.getInt(CommandSinkConnector.READ_TIMEOUT_MS));
    readingNs = settings.getLong(CommandSinkConnector.PUT_TIME_MAX_MS) * 1_000_000;
    anewNs = settings.getLong(CommandSinkConnector.RECALLS_ANEW_MS) * 1_000_000;
  }

  /**
   * What the consumer is told.
   *
   * @throws ConfigException if the lines of its own setting are no properties, or name a secret that is not there
   */
  static Properties client(AbstractConfig settings) {
    String lines = settings.getPassword(CommandSinkConnector.RECALLS_CONSUMER).value();
    if (lines.contains("${")) {
      throw new ConfigException("it names a secret that Connect cannot find");
    }
    Properties client = new Properties();
    try {
      client.load(new StringReader(lines));
    } catch (IOException | IllegalArgumentException error) {
      throw new ConfigException("it is not made of lines NAME=VALUE");
    }
    String servers = settings.getString(CommandSinkConnector.RECALLS_BOOTSTRAP_SERVERS);
    client.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
    // A recall of a transaction that was aborted never happened.
    client.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
    client.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    client.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
    client.put(ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG, "false");
    client.remove(ConsumerConfig.GROUP_ID_CONFIG);
    return client;
  }

  /**
   * Takes in every recall that was committed by now.
   *
   * @throws NotNow if the broker does not answer, or there is more than can be read in one go: what was read is kept
   */
  void catchUp() throws NotNow {
    try {
      if (!isStarted || System.nanoTime() - startedAt > anewNs) {
        startAnew();
      }
      long deadline = System.nanoTime() + readingNs;
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions, answerTime);
      if (isAnotherTopic(ends)) {
        startAnew();
      }
      for (Map.Entry<TopicPartition, Long> end : ends.entrySet()) {
        while (consumer.position(end.getKey(), answerTime) < end.getValue()) {
          if (System.nanoTime() > deadline) {
            throw new NotNow("recalls are still being read: " + table.size() + " so far", 1);
          }
          consumer.poll(POLL).forEach(this::take);
        }
      }
    } catch (AuthenticationException | AuthorizationException error) {
      close();
      // As for the commands themselves: it does not pass by itself, and the task's state says it.
      throw new ConnectException("the recalls cannot be read: " + error.getMessage(), error);
    } catch (KafkaException error) {
      if (!(error instanceof RetriableException)) {
        close();
      }
      throw new NotNow("the recalls in " + topic + " cannot be read: " + error.getMessage(), 0);
    }
  }

  /** Customers who are known by now; read by other threads. */
  int size() {
    return table.size();
  }

  boolean isRecalled(Command command) {
    if (command.isWithdrawal()) {
      // It was asked for in the customer's own interest, by the erasure itself or before it.
      return false;
    }
    ByteBuffer digest = digest(command.customerId());
    return table.isRecalled(digest.getLong(), digest.getLong(), command.createdAtMs());
  }

  private void startAnew() throws NotNow {
    if (consumer == null) {
      consumer = new KafkaConsumer<>(client, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
    partitions =
        consumer.partitionsFor(topic, answerTime).stream()
            .map(found -> new TopicPartition(topic, found.partition()))
            .toList();
    if (partitions.isEmpty()) {
      throw new NotNow("there is no topic " + topic + ": `orchestrator topics create` makes it", 0);
    }
    // What the topic's retention has deleted since the last time is not kept here either.
    table = new RecallTable();
    consumer.assign(partitions);
    consumer.seekToBeginning(partitions);
    isStarted = true;
    startedAt = System.nanoTime();
  }

  /** A topic that ends before what was read of it was deleted and made again: nothing new in it would seem to be there. */
  private boolean isAnotherTopic(Map<TopicPartition, Long> ends) {
    return ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey(), answerTime) > end.getValue());
  }

  private void take(ConsumerRecord<byte[], byte[]> record) {
    try {
      ByteBuffer digest = ByteBuffer.wrap(HexFormat.of().parseHex(new String(record.key(), StandardCharsets.US_ASCII)));
      JsonNode until = JSON.readTree(record.value()).path("recalled_at");
      if (digest.remaining() != DIGEST_BYTES || !until.isIntegralNumber()) {
        throw new IllegalArgumentException("no recall");
      }
      table.put(digest.getLong(), digest.getLong(), until.asLong());
    } catch (IOException | RuntimeException error) {
      LOG.error("{}:{}:{} is no recall: {}", topic, record.partition(), record.offset(), error.getClass().getName());
    }
  }

  private static ByteBuffer digest(String customerId) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      digest.update(KIND);
      return ByteBuffer.wrap(digest.digest(customerId.getBytes(StandardCharsets.UTF_8)));
    } catch (NoSuchAlgorithmException error) {
      // Every Java has it.
      throw new IllegalStateException(error);
    }
  }

  @Override
  public void close() {
    if (consumer != null) {
      try {
        consumer.close(CloseOptions.timeout(Duration.ZERO));
      } catch (KafkaException error) {
        // It is gone in any case.
      }
      consumer = null;
      isStarted = false;
    }
  }
}
