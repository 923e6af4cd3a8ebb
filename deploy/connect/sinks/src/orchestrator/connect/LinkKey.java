package orchestrator.connect;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.apache.kafka.common.config.ConfigException;

/**
 * Seals what a link says into a token that nobody else can read, make or change, as the endpoint opens it: the key's name, a dot,
 * and in base64url the nonce and the contents under AES-256-GCM. The nonce is an HMAC of the contents, so that a message that is
 * sent again has the same links.
 */
final class LinkKey {
  private static final Pattern FORM = Pattern.compile("([a-z0-9]{1,16})\\s+([0-9A-Fa-f]{64})");
  private static final int NONCE_BYTES = 12;
  private static final int TAG_BITS = 128;
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private final String name;
  private final byte[] sealing;
  private final byte[] nonces;

  private LinkKey(String name, byte[] secret) {
    this.name = name;
    this.sealing = hmac(secret, "seal".getBytes(StandardCharsets.US_ASCII));
    this.nonces = hmac(secret, "nonce".getBytes(StandardCharsets.US_ASCII));
  }

  /**
   * @throws ConfigException if the text is not a name and 64 hex digits; its message does not hold the text
   */
  static LinkKey of(String text) {
    Matcher matcher = FORM.matcher(text.strip());
    if (!matcher.matches()) {
      throw new ConfigException(Links.SECRET + " is not NAME HEX, with 64 hex digits");
    }
    return new LinkKey(matcher.group(1), HexFormat.of().parseHex(matcher.group(2)));
  }

  /** {@code kind} is what the token is for: c (a click), o (an opening), u (a signing off) or r (receipts). */
  String seal(char kind, ObjectNode contents) {
    try {
      byte[] plain = MAPPER.writeValueAsBytes(contents);
      byte[] use = {(byte) kind};
      byte[] nonce = Arrays.copyOf(hmac(nonces, joined(use, plain)), NONCE_BYTES);
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(sealing, "AES"), new GCMParameterSpec(TAG_BITS, nonce));
      cipher.updateAAD(use);
      byte[] sealed = joined(nonce, cipher.doFinal(plain));
      return name + "." + Base64.getUrlEncoder().withoutPadding().encodeToString(sealed);
    } catch (GeneralSecurityException | JsonProcessingException error) {
      throw new IllegalStateException(error);
    }
  }

  /** What every link of a command says: whose it is. */
  static ObjectNode contents(Command command, String channel) {
    ObjectNode contents = JsonNodeFactory.instance.objectNode();
    contents.put("c", command.json().path("customer_id").asText());
    contents.put("a", command.actionId());
    contents.put("h", channel);
    return contents;
  }

  private static byte[] joined(byte[] first, byte[] second) {
    byte[] both = Arrays.copyOf(first, first.length + second.length);
    System.arraycopy(second, 0, both, first.length, second.length);
    return both;
  }

  private static byte[] hmac(byte[] key, byte[] text) {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(key, "HmacSHA256"));
      return mac.doFinal(text);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }
}
