package orchestrator.connect;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.ConfigDef.ValidString;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.ConfigValue;

/**
 * Links of a message by way of the endpoint, whatever sink delivers it: clicks and openings as far as they are wanted, and
 * signing off where the message offers it.
 *
 * <p>In HTML that is a link with the address {@code unsubscribe:}, in a text {@code <unsubscribe:>}, and a part that is nothing
 * but a link may be it. What is not a message to a customer is left as it is.
 */
final class Links {
  static final String URL = "links.url";
  static final String SECRET = "links.secret";
  static final String TRACK = "links.track";
  static final String FORM = "links.form";
  static final String PARTS = "links.parts";
  static final String RECEIPTS = "links.receipts";
  static final String HTML = "html";
  static final String TEXT = "text";

  /** Where a command says what was made for it, for bodies of requests and for headers of mails. */
  static final String FIELD = "links";

  static final String UNSUBSCRIBE = "unsubscribe";

  private static final String RECEIPT = "receipt";

  private static final String CLICKS = "clicks";
  private static final String OPENS = "opens";
  private static final String NAME = "([a-z][a-z0-9_]*)?";

  /**
   * The beginning of a link. It gives back nothing of what it has taken, here and below: a bracket that somebody forgot makes the
   * rest of a mail part of it, and whoever tries every part of that anew runs out of stack.
   */
  private static final Pattern ANCHOR =
      Pattern.compile("<a\\s(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>", Pattern.CASE_INSENSITIVE);

  /** Its address, in the group; what other attributes have between quotes is passed over. */
  private static final Pattern ADDRESS =
      Pattern.compile(
          "(?<=[\\s\"'/])href\\s*+=\\s*+(\"[^\"]*+\"|'[^']*+')|\"[^\"]*+\"|'[^']*+'", Pattern.CASE_INSENSITIVE);

  private static final Pattern SIGNING_OFF = Pattern.compile("unsubscribe:" + NAME);
  private static final Pattern IN_TEXT =
      Pattern.compile("<unsubscribe:" + NAME + ">|https?://[^\\s<>\"]+", Pattern.CASE_INSENSITIVE);

  /** What ends a sentence rather than an address. */
  private static final Pattern AFTER = Pattern.compile("[.,;:!?'*_~\\]}]+$");

  private static final Pattern END = Pattern.compile("</body\\s*>", Pattern.CASE_INSENSITIVE);

  private final String url;
  private final LinkKey key;
  private final String tracked;
  private final boolean isHtml;
  private final List<String> parts;
  private final String receipts;

  private Links(AbstractConfig settings) {
    this.url = settings.getString(URL).replaceAll("/+$", "");
    this.key = url.isBlank() ? null : LinkKey.of(settings.getPassword(SECRET).value());
    this.tracked = settings.getString(TRACK);
    this.isHtml = settings.getString(FORM).equals(HTML);
    this.parts = settings.getList(PARTS);
    this.receipts = settings.getString(RECEIPTS);
  }

  /** Adds the settings to those of a sink; {@code form} is what its messages are unless somebody says otherwise. */
  static ConfigDef define(ConfigDef settings, String form) {
    return settings
        .define(URL, Type.STRING, "", Importance.MEDIUM,
            "Where people reach the endpoint for links; empty: links are left as they are.")
        .define(SECRET, Type.PASSWORD, "", Importance.MEDIUM, "NAME HEX: the key that links are sealed with.")
        .define(TRACK, Type.STRING, "nothing", ValidString.in("nothing", CLICKS, OPENS, "clicks,opens"), Importance.LOW,
            "What the sender wants to know of a message.")
        .define(FORM, Type.STRING, form, ValidString.in(HTML, TEXT), Importance.LOW, "What the parts with links are.")
        .define(PARTS, Type.LIST, "body,link", Importance.LOW, "The parts of a message's content in which links are.")
        .define(RECEIPTS, Type.STRING, "", Importance.LOW,
            "The provider, as the endpoint calls it, that is told with each message where its receipts go; empty: none.");
  }

  /**
   * The links as configured.
   *
   * @throws ConfigException if links are wanted and the key is none
   */
  static Links of(AbstractConfig settings) {
    return new Links(settings);
  }

  /** Appends what is wrong with the settings, each of which is right by itself. */
  static void check(AbstractConfig settings, List<ConfigValue> values) {
    String url = settings.getString(URL);
    if (!url.isBlank() && !url.matches("https?://[^\\s?#]+")) {
      values.add(CommandSinkConnector.problem(URL, "is not a web address without ? and #"));
    }
    if (settings.getString(FORM).equals(TEXT) && settings.getString(TRACK).contains(OPENS)) {
      values.add(CommandSinkConnector.problem(TRACK, "can count openings of HTML alone"));
    }
    if (!settings.getString(RECEIPTS).matches("[a-z0-9_-]*")) {
      values.add(CommandSinkConnector.problem(RECEIPTS, "is not the name of a provider"));
    }
    try {
      of(settings);
    } catch (ConfigException error) {
      values.add(
          CommandSinkConnector.problem(
              SECRET, "is not NAME HEX, with 64 hex digits, or names a secret that Connect cannot find"));
    }
  }

  /**
   * The command with the links of its message led by way of the endpoint, and its own to sign off with.
   *
   * @throws Refused where the message promises a link to sign off with, and there is no endpoint to lead to
   */
  Command led(Command command) throws Refused {
    if (!command.kind().equals("send")) {
      return command;
    }
    Map<String, String> content = new HashMap<>(command.content());
    for (String part : parts) {
      String text = content.get(part);
      if (text != null) {
        content.put(part, isHtml && !isBare(text) ? ledHtml(command, text) : ledText(command, text));
      }
    }
    if (key == null) {
      return command;
    }
    ObjectNode json = command.json().deepCopy();
    ObjectNode described = json.withObjectProperty("content");
    content.forEach(described::put);
    if (command.json().path("message_class").asText().equals("promotional")) {
      json.withObjectProperty(FIELD).put(UNSUBSCRIBE, address("u", 'u', contents(command)));
    }
    if (!receipts.isBlank()) {
      json.withObjectProperty(FIELD).put(RECEIPT, address("v1/receipts/" + receipts, 'r', contents(command)));
    }
    return command.with(content, json);
  }

  private static boolean isBare(String text) {
    return SIGNING_OFF.matcher(text.strip()).matches() || LinkTarget.isWeb(text.strip());
  }

  private String ledHtml(Command command, String html) throws Refused {
    StringBuilder led = new StringBuilder();
    Matcher anchors = ANCHOR.matcher(html);
    while (anchors.find()) {
      anchors.appendReplacement(led, Matcher.quoteReplacement(ledAnchor(command, anchors.group())));
    }
    anchors.appendTail(led);
    if (key == null || !tracked.contains(OPENS)) {
      return led.toString();
    }
    String picture = "<img src=\"" + address("o", 'o', contents(command)) + ".gif\" width=\"1\" height=\"1\" alt=\"\">";
    Matcher end = END.matcher(led);
    return end.find() ? led.substring(0, end.start()) + picture + led.substring(end.start()) : led + picture;
  }

  private String ledAnchor(Command command, String anchor) throws Refused {
    Matcher address = ADDRESS.matcher(anchor);
    while (address.find()) {
      String quoted = address.group(1);
      if (quoted != null) {
        String there = led(command, LinkTarget.of(quoted.substring(1, quoted.length() - 1)));
        return there == null
            ? anchor
            : anchor.substring(0, address.start(1)) + '"' + there + '"' + anchor.substring(address.end(1));
      }
    }
    return anchor;
  }

  private String ledText(Command command, String text) throws Refused {
    if (SIGNING_OFF.matcher(text.strip()).matches()) {
      return led(command, text.strip());
    }
    StringBuilder led = new StringBuilder();
    Matcher found = IN_TEXT.matcher(text);
    while (found.find()) {
      String target = found.group().startsWith("<") ? signingOff(found.toMatchResult()) : ended(found.group());
      String there = led(command, target);
      String rest = found.group().startsWith("<") ? "" : found.group().substring(target.length());
      found.appendReplacement(led, Matcher.quoteReplacement(there == null ? found.group() : there + rest));
    }
    found.appendTail(led);
    return led.toString();
  }

  private static String signingOff(MatchResult found) {
    return "unsubscribe:" + (found.group(1) == null ? "" : found.group(1));
  }

  /** The address without what follows it in a sentence: a bracket belongs to it only where it was opened in it. */
  private static String ended(String address) {
    String before;
    String ended = address;
    do {
      before = ended;
      ended = AFTER.matcher(ended).replaceFirst("");
      if (ended.endsWith(")") && ended.indexOf('(') < 0) {
        ended = ended.substring(0, ended.length() - 1);
      }
    } while (!ended.equals(before));
    return ended;
  }

  /** Where a link with this target leads instead; null where it is left as it is. */
  private String led(Command command, String target) throws Refused {
    Matcher consent = SIGNING_OFF.matcher(target);
    if (consent.matches()) {
      if (key == null) {
        throw new Refused("no_links", "the message has a link to sign off with, and " + URL + " is not set");
      }
      ObjectNode contents = contents(command);
      if (consent.group(1) != null) {
        contents.put("p", consent.group(1));
      }
      return address("u", 'u', contents);
    }
    if (key == null || !tracked.contains(CLICKS) || !LinkTarget.isWeb(target)) {
      return null;
    }
    String token = key.seal('c', contents(command).put("u", target));
    // The endpoint reads no longer one.
    return token.length() > LinkTarget.TOKEN_CHARACTERS_MAX ? null : url + "/c/" + token;
  }

  private String address(String place, char kind, ObjectNode contents) {
    return url + "/" + place + "/" + key.seal(kind, contents);
  }

  private static ObjectNode contents(Command command) {
    return LinkKey.contents(command, command.json().path("channel").asText());
  }
}
