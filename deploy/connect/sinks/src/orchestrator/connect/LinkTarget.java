package orchestrator.connect;

import java.text.Normalizer;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a link of a message leads, and whether the endpoint would lead there. What it would refuse is left as it stands: a link that
 * is not counted is worth more than one that is dead.
 */
final class LinkTarget {
  /** Of a token: the endpoint reads no longer one. */
  static final int TOKEN_CHARACTERS_MAX = 4_000;

  private static final Pattern ENTITY = Pattern.compile("&(?:#(\\d{1,7})|#[xX]([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos|nbsp));");
  private static final Map<String, String> NAMED =
      Map.of("amp", "&", "lt", "<", "gt", ">", "quot", "\"", "apos", "'", "nbsp", "\u00a0");
  private static final Pattern UNKNOWN = Pattern.compile("&[A-Za-z][A-Za-z0-9]*;");
  private static final Pattern WEB = Pattern.compile("https?://([^/?#]+)(?:[/?#].*)?", Pattern.CASE_INSENSITIVE);
  private static final Pattern DELIMITER = Pattern.compile("[/?#@:]");

  private LinkTarget() {}

  /** The attribute's value as a browser takes it, with spaces escaped; the value itself where an entity is not known here. */
  static String of(String attribute) {
    String stripped = attribute.strip();
    String bare = ENTITY.matcher(stripped).replaceAll("");
    if (UNKNOWN.matcher(bare).find()) {
      return stripped;
    }
    String decoded = ENTITY.matcher(stripped).replaceAll(found -> Matcher.quoteReplacement(decoded(found)));
    return decoded.strip().replace(" ", "%20");
  }

  /** Whether the endpoint leads there: a page on the web, in characters that can be seen. */
  static boolean isWeb(String target) {
    Matcher web = WEB.matcher(target);
    return web.matches() && !UNKNOWN.matcher(target).find() && target.codePoints().allMatch(LinkTarget::isPrintable)
        && isHost(web.group(1));
  }

  private static boolean isHost(String host) {
    // Brackets are for addresses of six parts, which no mail leads to. What turns into a delimiter is a trick.
    String plain = DELIMITER.matcher(host).replaceAll("");
    String normal = Normalizer.normalize(plain, Normalizer.Form.NFKC);
    return host.indexOf('[') < 0 && host.indexOf(']') < 0 && (normal.equals(plain) || !DELIMITER.matcher(normal).find());
  }

  private static boolean isPrintable(int character) {
    return switch (Character.getType(character)) {
      case Character.CONTROL, Character.FORMAT, Character.SURROGATE, Character.PRIVATE_USE, Character.UNASSIGNED,
          Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR, Character.SPACE_SEPARATOR -> false;
      default -> true;
    };
  }

  private static String decoded(MatchResult entity) {
    if (entity.group(3) != null) {
      return NAMED.get(entity.group(3));
    }
    int character = entity.group(1) != null ? Integer.parseInt(entity.group(1)) : Integer.parseInt(entity.group(2), 16);
    return Character.isValidCodePoint(character) ? Character.toString(character) : entity.group();
  }
}
