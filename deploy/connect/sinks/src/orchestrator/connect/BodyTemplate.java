package orchestrator.connect;

import com.fasterxml.jackson.core.io.JsonStringEncoder;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigException;

/** A request's body: the whole command, or a text with places for its fields, in which no value can be more than a value. */
final class BodyTemplate {
  private static final Pattern PLACE = Pattern.compile("\\{\\{\\s*([a-z_]+(?:\\.[A-Za-z0-9_-]+)*)(\\?)?\\s*\\}\\}");

  private static final String OPTIONAL = "?";

  /** Texts and places in turn, beginning and ending with a text. */
  private final List<String> parts;

  /** What is the whole body; empty where the parts are. */
  private final String field;

  private final UnaryOperator<String> escape;

  private BodyTemplate(List<String> parts, String field, UnaryOperator<String> escape) {
    this.parts = parts;
    this.field = field;
    this.escape = escape;
  }

  /**
   * @throws ConfigException for a form without a body, JSON that is none, or a place that cannot be read
   */
  static BodyTemplate of(AbstractConfig settings) {
    String text = settings.getString(HttpSinkConnector.BODY);
    String field = settings.getString(HttpSinkConnector.BODY_FIELD);
    boolean isForm = settings.getString(HttpSinkConnector.CONTENT_TYPE).contains("form");
    if (text.isBlank() && isForm) {
      throw new ConfigException("must be set for a form");
    }
    if (!field.isBlank() && !text.isBlank()) {
      throw new ConfigException("and " + HttpSinkConnector.BODY_FIELD + " exclude each other");
    }
    List<String> parts = new ArrayList<>();
    Matcher places = PLACE.matcher(text);
    int end = 0;
    while (places.find()) {
      parts.add(text.substring(end, places.start()));
      parts.add(places.group(1) + (places.group(2) == null ? "" : OPTIONAL));
      end = places.end();
    }
    parts.add(text.substring(end));
    for (int index = 0; index < parts.size(); index += 2) {
      if (parts.get(index).contains("{{") || (parts.get(index).contains("}}") && isForm)) {
        throw new ConfigException("has a place that is not {{field}}, {{field.part}} or {{field.part?}}");
      }
    }
    if (!isForm && !text.isBlank()) {
      requireJson(PLACE.matcher(text).replaceAll("x"));
    }
    return new BodyTemplate(parts, field.strip(), isForm ? BodyTemplate::forForm : BodyTemplate::forJson);
  }

  String fill(Command command) throws Refused {
    if (!field.isEmpty()) {
      return wholeBody(value(command, field));
    }
    if (parts.size() == 1 && parts.get(0).isBlank()) {
      return command.json().toString();
    }
    StringBuilder body = new StringBuilder();
    for (int index = 0; index < parts.size(); index++) {
      body.append(index % 2 == 0 ? parts.get(index) : escape.apply(value(command, parts.get(index))));
    }
    return body.toString();
  }

  private static String value(Command command, String path) throws Refused {
    JsonNode node = command.json();
    boolean isOptional = path.endsWith(OPTIONAL);
    for (String step : path.substring(0, path.length() - (isOptional ? 1 : 0)).split("\\.")) {
      node = node.path(step);
    }
    if (isOptional && (node.isMissingNode() || node.isNull())) {
      return "";
    }
    if (!node.isValueNode() || node.isNull()) {
      throw new Refused("missing_value", "the command has no " + path);
    }
    return node.asText();
  }

  private static String wholeBody(String text) throws Refused {
    try {
      requireJson(text);
      return text;
    } catch (ConfigException error) {
      throw new Refused("bad_body", "the command's body is not JSON");
    }
  }

  private static void requireJson(String text) {
    try (var parser = new ObjectMapper().createParser(text)) {
      parser.readValueAsTree();
      if (parser.nextToken() != null) {
        throw new ConfigException("has something after the JSON value");
      }
    } catch (IOException error) {
      throw new ConfigException("is not JSON; places belong between quotes");
    }
  }

  private static String forJson(String value) {
    return new String(JsonStringEncoder.getInstance().quoteAsString(value));
  }

  private static String forForm(String value) {
    return URLEncoder.encode(value, StandardCharsets.UTF_8);
  }
}
