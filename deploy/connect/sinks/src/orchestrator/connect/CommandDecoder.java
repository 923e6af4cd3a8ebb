package orchestrator.connect;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;

/**
 * Decodes commands: a zero byte, four bytes of schema id, and the value in Avro.
 *
 * <p>This is done here and not in a converter, because a converter that cannot reach the registry gives the record up,
 * while here it is held until the registry answers again.
 */
final class CommandDecoder {
  private static final int PREFIX_BYTES = 5;
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Exchange registry;
  private final String url;
  private final String authorization;
  private final Map<Integer, Schema> schemas = new HashMap<>();

  CommandDecoder(String url, String authorization, Duration connectTimeout, Duration readTimeout) {
    this.url = url.replaceAll("/+$", "");
    this.authorization = authorization;
    this.registry = new Exchange(connectTimeout, readTimeout);
  }

  Command decode(byte[] value) throws Refused, NotNow {
    if (value == null || value.length < PREFIX_BYTES || value[0] != 0) {
      throw new Refused("not_avro", "no magic byte and schema id");
    }
    int id = ((value[1] & 255) << 24) | ((value[2] & 255) << 16) | ((value[3] & 255) << 8) | (value[4] & 255);
    Schema schema = schemas.get(id);
    if (schema == null) {
      schema = lookUp(id);
      schemas.put(id, schema);
    }
    return command(read(value, schema, id), id);
  }

  private static GenericRecord read(byte[] value, Schema schema, int id) throws Refused {
    BinaryDecoder bytes =
        DecoderFactory.get().binaryDecoder(value, PREFIX_BYTES, value.length - PREFIX_BYTES, null);
    try {
      GenericRecord record = new GenericDatumReader<GenericRecord>(schema).read(null, bytes);
      if (!bytes.isEnd()) {
        throw new Refused("undecodable", "bytes are left over after schema " + id);
      }
      return record;
    } catch (IOException | RuntimeException error) {
      // Damaged bytes make the reader throw anything; its messages may quote the content.
      throw new Refused("undecodable", "schema " + id + ": " + error.getClass().getSimpleName());
    }
  }

  private static Command command(GenericRecord record, int id) throws Refused {
    ObjectNode json = Json.object(record);
    JsonNode content = json.path("content");
    Map<String, String> parts = new HashMap<>();
    // A part that the message does not have is null where the channel has a schema of its own.
    content.properties().removeIf(entry -> entry.getValue().isNull());
    content.properties().forEach(entry -> parts.put(entry.getKey(), entry.getValue().asText()));
    String actionId = json.path("action_id").asText();
    // Without the last one, and the instant below, nobody could tell whether the customer was forgotten since.
    if (actionId.isEmpty() || !json.path("address").isTextual() || !json.path("customer_id").isTextual()) {
      throw new Refused("not_a_command", "schema " + id + " has no action_id, address or customer_id");
    }
    // It travels in headers: as Message-ID and as idempotency key.
    if (!actionId.matches("[A-Za-z0-9._:-]{1,200}")) {
      throw new Refused("bad_action_id", "only letters, digits and ._:- are allowed, at most 200");
    }
    long createdAtMs = instant(record, "created_at", id);
    long expiresAtMs = instant(record, "expires_at", id);
    String kind = json.path("kind").asText("send");
    String customerId = json.path("customer_id").asText();
    return new Command(
        actionId, customerId, kind, json.path("address").asText(), parts, createdAtMs, expiresAtMs, json);
  }

  private static long instant(GenericRecord record, String field, int id) throws Refused {
    if (record.hasField(field) && record.get(field) instanceof Long instant) {
      return instant;
    }
    throw new Refused("not_a_command", field + " of schema " + id + " is no instant");
  }

  private Schema lookUp(int id) throws Refused, NotNow {
    HttpRequest.Builder request = registry.request(url + "/schemas/ids/" + id);
    if (!authorization.isEmpty()) {
      request.header("Authorization", authorization);
    }
    Exchange.Answer answer = registry.send(request.GET().build(), "the schema registry");
    if (answer.status() == 404) {
      throw new Refused("unknown_schema", "schema " + id);
    }
    if (answer.status() != 200) {
      // Also a refused password: somebody must correct the configuration, and no command is lost meanwhile.
      throw new NotNow("the schema registry answered " + answer.status(), answer.retryAfterMs());
    }
    try {
      Schema schema =
          new Schema.Parser()
              .parse(JSON.readTree(new String(answer.body(), StandardCharsets.UTF_8)).path("schema").asText());
      if (schema.getType() != Schema.Type.RECORD) {
        throw new Refused("not_a_command", "schema " + id + " is no record");
      }
      return schema;
    } catch (IOException | AvroRuntimeException error) {
      throw new Refused("unknown_schema", "schema " + id + " is not Avro");
    }
  }
}
