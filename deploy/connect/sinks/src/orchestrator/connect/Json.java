package orchestrator.connect;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.time.LocalDate;
import java.util.Base64;
import java.util.Collection;
import java.util.Map;
import org.apache.avro.LogicalType;
import org.apache.avro.LogicalTypes;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.GenericRecord;

/** Avro values as JSON that needs no schema to be read: unions plain, instants and dates in ISO 8601, decimals as text. */
final class Json {
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  private Json() {}

  static ObjectNode object(GenericRecord record) {
    ObjectNode object = NODES.objectNode();
    for (Schema.Field field : record.getSchema().getFields()) {
      object.set(field.name(), node(record.get(field.pos()), field.schema()));
    }
    return object;
  }

  private static JsonNode node(Object value, Schema schema) {
    if (schema.getType() == Schema.Type.UNION) {
      return node(value, schema.getTypes().get(GenericData.get().resolveUnion(schema, value)));
    }
    if (value == null) {
      return NODES.nullNode();
    }
    LogicalType logical = schema.getLogicalType();
    return switch (schema.getType()) {
      case RECORD -> object((GenericRecord) value);
      case MAP -> map((Map<?, ?>) value, schema.getValueType());
      case ARRAY -> array((Collection<?>) value, schema.getElementType());
      case INT ->
          logical instanceof LogicalTypes.Date
              ? NODES.textNode(LocalDate.ofEpochDay((Integer) value).toString())
              : NODES.numberNode((Integer) value);
      case LONG ->
          logical instanceof LogicalTypes.TimestampMillis
              ? NODES.textNode(Instant.ofEpochMilli((Long) value).toString())
              : NODES.numberNode((Long) value);
      case FLOAT -> NODES.numberNode((Float) value);
      case DOUBLE -> NODES.numberNode((Double) value);
      case BOOLEAN -> NODES.booleanNode((Boolean) value);
      case BYTES -> bytes(contents((ByteBuffer) value), logical);
      case FIXED -> bytes(((GenericFixed) value).bytes(), logical);
      default -> NODES.textNode(value.toString());
    };
  }

  private static ObjectNode map(Map<?, ?> values, Schema schema) {
    ObjectNode object = NODES.objectNode();
    values.forEach((key, value) -> object.set(key.toString(), node(value, schema)));
    return object;
  }

  private static ArrayNode array(Collection<?> values, Schema schema) {
    ArrayNode array = NODES.arrayNode();
    values.forEach(value -> array.add(node(value, schema)));
    return array;
  }

  private static JsonNode bytes(byte[] value, LogicalType logical) {
    if (logical instanceof LogicalTypes.Decimal decimal) {
      return NODES.textNode(new BigDecimal(new BigInteger(value), decimal.getScale()).toPlainString());
    }
    return NODES.textNode(Base64.getEncoder().encodeToString(value));
  }

  private static byte[] contents(ByteBuffer buffer) {
    byte[] bytes = new byte[buffer.remaining()];
    buffer.duplicate().get(bytes);
    return bytes;
  }
}
