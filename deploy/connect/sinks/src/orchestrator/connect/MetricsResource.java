package orchestrator.connect;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import javax.management.JMException;
import javax.management.MBeanServer;
import javax.management.MalformedObjectNameException;
import javax.management.ObjectName;

/**
 * What the tasks of this worker count, in Prometheus' text format. It is read from JMX, where Kafka Connect and the sinks
 * put it; which of it, and under which names, is in {@code META-INF/orchestrator/metrics.json}.
 *
 * <p>Labels are the connector, its task, and what became of commands: none grows with data.
 */
@Path("/metrics")
public final class MetricsResource {
  private static final String FORMAT = "text/plain; version=0.0.4; charset=utf-8";
  private static final String DESCRIPTION = "/META-INF/orchestrator/metrics.json";

  /** One metric. {@code is} is the value that counts as 1 where values are texts. */
  private record Metric(
      String name, String kind, String help, String bean, String label, String is, Map<String, String> attributes) {}

  private final MBeanServer beans = ManagementFactory.getPlatformMBeanServer();
  private final List<Metric> metrics;

  MetricsResource() {
    try (InputStream description = MetricsResource.class.getResourceAsStream(DESCRIPTION)) {
      metrics = new ObjectMapper().readValue(description, new TypeReference<List<Metric>>() {});
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** Every metric of every task that is on this worker now. */
  @GET
  @Produces(FORMAT)
  public String read() {
    StringBuilder text = new StringBuilder();
    for (Metric metric : metrics) {
      text.append("# HELP ").append(metric.name()).append(' ').append(metric.help()).append('\n');
      text.append("# TYPE ").append(metric.name()).append(' ').append(metric.kind()).append('\n');
      for (ObjectName bean : tasks(metric.bean())) {
        metric.attributes().forEach((attribute, label) -> append(text, metric, bean, attribute, label));
      }
    }
    return text.toString();
  }

  private Collection<ObjectName> tasks(String type) {
    try {
      return new TreeSet<>(beans.queryNames(new ObjectName("kafka.connect:type=" + type + ",connector=*,task=*"), null));
    } catch (MalformedObjectNameException error) {
      throw new IllegalStateException(error);
    }
  }

  private void append(StringBuilder text, Metric metric, ObjectName bean, String attribute, String label) {
    Object value;
    try {
      value = beans.getAttribute(bean, attribute);
    } catch (JMException error) {
      // A connector of another kind, or a task that ended meanwhile.
      return;
    }
    text.append(metric.name()).append("{connector=\"").append(key(bean, "connector"));
    text.append("\",task=\"").append(key(bean, "task"));
    if (metric.label() != null) {
      text.append("\",").append(metric.label()).append("=\"").append(label);
    }
    text.append("\"} ").append(number(metric, value)).append('\n');
  }

  private static double number(Metric metric, Object value) {
    if (metric.is() != null) {
      return metric.is().equals(value) ? 1 : 0;
    }
    return value instanceof Number number ? number.doubleValue() : Double.NaN;
  }

  private static String key(ObjectName bean, String name) {
    String value = bean.getKeyProperty(name);
    // JMX puts names into quotes where they have characters that mean something to it.
    String plain = value.startsWith("\"") ? ObjectName.unquote(value) : value;
    return plain.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
  }
}
