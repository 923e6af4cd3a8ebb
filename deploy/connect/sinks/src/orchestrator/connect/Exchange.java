package orchestrator.connect;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.connect.errors.ConnectException;

/**
 * Requests over HTTP that end in time, with an answer or without one. A redirect is an answer like any other: followed, it
 * would send a customer's data, or a secret, to a place that nobody configured.
 */
final class Exchange {
  /** What came back. {@code retryAfterMs} is zero where the header is missing or makes no sense. */
  record Answer(int status, long retryAfterMs, byte[] body) {}

  private final HttpClient client;
  private final Duration connectTimeout;
  private final Duration readTimeout;

  Exchange(Duration connectTimeout, Duration readTimeout) {
    this.connectTimeout = connectTimeout;
    this.readTimeout = readTimeout;
    this.client =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(connectTimeout)
            .followRedirects(HttpClient.Redirect.NEVER)
            .build();
  }

  HttpRequest.Builder request(String url) {
    return HttpRequest.newBuilder(URI.create(url)).timeout(connectTimeout.plus(readTimeout));
  }

  /** The answer to the request. No answer at all, for whatever reason, is a NotNow that names {@code who}. */
  Answer send(HttpRequest request, String who) throws NotNow {
    // The client's own time-out ends with the headers; an answer whose body never ends must not hold the task.
    CompletableFuture<HttpResponse<byte[]>> pending =
        client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArray());
    try {
      HttpResponse<byte[]> answer =
          pending.get(connectTimeout.plus(readTimeout).toMillis() + 100, TimeUnit.MILLISECONDS);
      long wait = answer.headers().firstValue("Retry-After").map(Exchange::waitMs).orElse(0L);
      return new Answer(answer.statusCode(), wait, answer.body());
    } catch (TimeoutException error) {
      pending.cancel(true);
      throw new NotNow(who + " does not answer in time", 0);
    } catch (ExecutionException error) {
      if (error.getCause() instanceof IOException cause) {
        throw new NotNow(who + " does not answer: " + cause.getClass().getSimpleName(), 0);
      }
      throw new ConnectException("the request to " + who + " failed", error.getCause());
    } catch (InterruptedException error) {
      pending.cancel(true);
      Thread.currentThread().interrupt();
      throw new ConnectException("interrupted", error);
    }
  }

  /** Source: RFC 9110, section 10.2.3: seconds, or a date. */
  static long waitMs(String retryAfter) {
    String text = retryAfter.strip();
    try {
      if (text.matches("[0-9]{1,9}")) {
        return Long.parseLong(text) * 1000;
      }
      ZonedDateTime until = ZonedDateTime.parse(text, DateTimeFormatter.RFC_1123_DATE_TIME);
      return Math.max(0, until.toInstant().toEpochMilli() - System.currentTimeMillis());
    } catch (DateTimeParseException error) {
      return 0;
    }
  }
}
