package orchestrator.connect;

import java.util.Map;
import org.apache.kafka.connect.rest.ConnectRestExtension;
import org.apache.kafka.connect.rest.ConnectRestExtensionContext;

/** Adds {@code GET /metrics}, for Prometheus, to the REST interface of a worker of Kafka Connect. */
public final class MetricsExtension implements ConnectRestExtension {

  @Override
  public void register(ConnectRestExtensionContext context) {
    context.configurable().register(new MetricsResource());
  }

  @Override
  public void configure(Map<String, ?> settings) {}

  @Override
  public void close() {}

  @Override
  public String version() {
    return CommandSinkConnector.versionOf(getClass());
  }
}
