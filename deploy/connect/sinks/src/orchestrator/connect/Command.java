package orchestrator.connect;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Map;

/**
 * An action command as a sink needs it. {@code json} holds every field of the record, for receivers that take it whole:
 * instants as ISO 8601 in UTC, decimals as text.
 */
record Command(
    String actionId,
    String customerId,
    String kind,
    String address,
    Map<String, String> content,
    long createdAtMs,
    long expiresAtMs,
    ObjectNode json) {

  /** The same command with another content; {@code json} says it too. */
  Command with(Map<String, String> content, ObjectNode json) {
    return new Command(actionId, customerId, kind, address, content, createdAtMs, expiresAtMs, json);
  }

  /** Whether it takes the customer out of something. */
  boolean isWithdrawal() {
    return kind.equals("audience_remove");
  }
}
