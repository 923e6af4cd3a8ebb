package orchestrator.connect;

import java.net.URI;
import java.net.URISyntaxException;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;

/** Accepts absolute http and https addresses without user and password: those belong in a hidden setting. */
final class WebAddress implements ConfigDef.Validator {
  @Override
  public void ensureValid(String name, Object value) {
    String text = String.valueOf(value);
    try {
      URI address = new URI(text);
      String scheme = String.valueOf(address.getScheme());
      if (!(scheme.equals("http") || scheme.equals("https")) || address.getHost() == null) {
        throw new ConfigException(name, text, "must begin with http:// or https:// and name a host");
      }
      if (address.getUserInfo() != null) {
        // Not repeated in the message: it is shown and logged.
        throw new ConfigException(name + " must not contain a user or password; set the Authorization header instead");
      }
    } catch (URISyntaxException error) {
      throw new ConfigException(name, text, "is no web address");
    }
  }

  @Override
  public String toString() {
    return "http(s) address";
  }
}
