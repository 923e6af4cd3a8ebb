package orchestrator.connect;

import java.net.http.HttpRequest;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigException;

/** One request for each command; its headers come from the configuration alone. */
public final class HttpSinkTask extends CommandSinkTask {
  private static final String IDEMPOTENCY_KEY = "Idempotency-Key";
  private static final String CONTENT_TYPE = "Content-Type";
  private static final Set<String> OWN = Set.of("idempotency-key", "content-type");

  private static final List<String> METHODS = List.of("POST", "PUT", "PATCH", "DELETE");

  /** Answers that mean "later", beside all of 500 and above. */
  private static final Set<Integer> LATER = Set.of(408, 425, 429);

  private Exchange exchange;
  private AbstractConfig settings;
  private BodyTemplate body;
  private Map<String, String> headers;

  @Override
  AbstractConfig open(Map<String, String> given) {
    settings = new AbstractConfig(HttpSinkConnector.SETTINGS, given);
    exchange =
        new Exchange(
            Duration.ofMillis(settings.getInt(CommandSinkConnector.CONNECT_TIMEOUT_MS)),
            Duration.ofMillis(settings.getInt(CommandSinkConnector.READ_TIMEOUT_MS)));
    headers = headers(settings);
    body = BodyTemplate.of(settings);
    return settings;
  }

  @Override
  void deliver(Command command) throws Refused, NotNow {
    HttpRequest.Builder request = exchange.request(settings.getString(HttpSinkConnector.URL));
    headers.forEach(request::header);
    request.header(CONTENT_TYPE, settings.getString(HttpSinkConnector.CONTENT_TYPE));
    request.header(IDEMPOTENCY_KEY, command.actionId());
    request.method(method(command), HttpRequest.BodyPublishers.ofString(body.fill(command)));
    Exchange.Answer answer = exchange.send(request.build(), "the receiver");
    int status = answer.status();
    if (status >= 500 || LATER.contains(status)) {
      throw new NotNow("the receiver answered " + status, answer.retryAfterMs());
    }
    if (status < 200 || status >= 300) {
      throw new Refused("http_" + status, "the receiver answered " + status);
    }
  }

  private String method(Command command) throws Refused {
    String method = settings.getString(HttpSinkConnector.METHOD);
    if (!method.equals(HttpSinkConnector.METHOD_OF_COMMAND)) {
      return method;
    }
    String own = command.content().getOrDefault("method", "");
    if (!METHODS.contains(own)) {
      throw new Refused("bad_method", "the command's method is none of " + METHODS);
    }
    return own;
  }

  /**
   * The configured headers. A value is never part of the message when one is refused.
   *
   * @throws ConfigException for what is not a header, or one that this sink sets itself
   */
  static Map<String, String> headers(AbstractConfig settings) {
    Map<String, String> headers = new LinkedHashMap<>();
    HttpRequest.Builder trial = HttpRequest.newBuilder();
    int number = 0;
    for (String line : settings.getPassword(HttpSinkConnector.HEADERS).value().split("\\R")) {
      number++;
      if (line.isBlank()) {
        continue;
      }
      if (line.contains("${")) {
        throw new ConfigException("line " + number + " names a secret that Connect cannot find");
      }
      String[] parts = line.split(":", 2);
      if (parts.length != 2 || OWN.contains(parts[0].strip().toLowerCase(Locale.ROOT))) {
        throw new ConfigException("line " + number + " is no header, or one that the sink sets itself");
      }
      try {
        trial.header(parts[0].strip(), parts[1].strip());
      } catch (IllegalArgumentException error) {
        throw new ConfigException("line " + number + " is no header that may be set");
      }
      headers.put(parts[0].strip(), parts[1].strip());
    }
    return headers;
  }
}
