package orchestrator.connect;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Map;

/**
 * An action command as a sink needs it. {@code json} holds every field of the record, for receivers that take it whole:
 * instants as ISO 8601 in UTC, decimals as text.
 */
record Command(
    String actionId,
    String kind,
    String address,
    Map<String, String> content,
    long expiresAtMs,
    ObjectNode json) {

  /** The same command with another content; {@code json} says it too. */
  Command with(Map<String, String> content, ObjectNode json) {
    return new Command(actionId, kind, address, content, expiresAtMs, json);
  }
}
