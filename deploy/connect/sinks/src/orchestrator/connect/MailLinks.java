package orchestrator.connect;

import com.fasterxml.jackson.databind.node.ObjectNode;
import jakarta.mail.MessagingException;
import jakarta.mail.internet.MimeMessage;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.config.AbstractConfig;

/**
 * Links of a mail by way of the endpoint: clicks and openings as far as they are wanted, and signing off, by a link with the
 * address {@code unsubscribe:} and, of promotional mails, by the header that mail programs offer a button for.
 *
 * <p>Source: RFC 8058, section 3.1.
 */
final class MailLinks {
  private static final String CLICKS = "clicks";
  private static final String OPENS = "opens";
  private static final Pattern LINK =
      Pattern.compile(
          "(<a\\s(?:[^>\"']|\"[^\"]*\"|'[^']*')*?href\\s*=\\s*)(\"[^\"]*\"|'[^']*')((?:[^>\"']|\"[^\"]*\"|'[^']*')*>)",
          Pattern.CASE_INSENSITIVE);
  private static final Pattern CONSENT = Pattern.compile("unsubscribe:([a-z][a-z0-9_]*)?");
  private static final Pattern END = Pattern.compile("</body\\s*>", Pattern.CASE_INSENSITIVE);

  private final String url;
  private final LinkKey key;
  private final String tracked;

  private MailLinks(String url, LinkKey key, String tracked) {
    this.url = url;
    this.key = key;
    this.tracked = tracked;
  }

  /**
   * The links as configured, or null where mails are to be left as they are.
   *
   * @throws org.apache.kafka.common.config.ConfigException if the key is none, or there is none
   */
  static MailLinks of(AbstractConfig settings) {
    String url = settings.getString(SmtpSinkConnector.LINKS_URL);
    if (url.isBlank()) {
      return null;
    }
    LinkKey key = LinkKey.of(settings.getPassword(SmtpSinkConnector.LINKS_SECRET).value());
    return new MailLinks(url.replaceAll("/+$", ""), key, settings.getString(SmtpSinkConnector.LINKS_TRACK));
  }

  /** The body with its links led by way of the endpoint. */
  String body(Command command, String html) {
    Matcher links = LINK.matcher(html);
    String led = links.replaceAll(found -> Matcher.quoteReplacement(led(command, found)));
    if (!tracked.contains(OPENS)) {
      return led;
    }
    String picture = "<img src=\"" + address('o', contents(command)) + ".gif\" width=\"1\" height=\"1\" alt=\"\">";
    Matcher end = END.matcher(led);
    return end.find() ? led.substring(0, end.start()) + picture + led.substring(end.start()) : led + picture;
  }

  /** Offers to sign off with one click, where the mail is one that can be signed off from. */
  void offerSigningOff(Command command, MimeMessage message) throws MessagingException {
    if (command.json().path("message_class").asText().equals("promotional")) {
      message.setHeader("List-Unsubscribe", "<" + address('u', contents(command)) + ">");
      message.setHeader("List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
    }
  }

  private String led(Command command, MatchResult found) {
    String quoted = found.group(2);
    String target = LinkTarget.of(quoted.substring(1, quoted.length() - 1));
    ObjectNode contents = contents(command);
    Matcher consent = CONSENT.matcher(target);
    String led;
    if (consent.matches()) {
      if (consent.group(1) != null) {
        contents.put("p", consent.group(1));
      }
      led = address('u', contents);
    } else if (tracked.contains(CLICKS) && LinkTarget.isWeb(target)) {
      String token = key.seal('c', contents.put("u", target));
      if (token.length() > LinkTarget.TOKEN_CHARACTERS_MAX) {
        return found.group();
      }
      led = url + "/c/" + token;
    } else {
      return found.group();
    }
    return found.group(1) + '"' + led + '"' + found.group(3);
  }

  private String address(char kind, ObjectNode contents) {
    return url + "/" + kind + "/" + key.seal(kind, contents);
  }

  private static ObjectNode contents(Command command) {
    return LinkKey.contents(command, command.json().path("channel").asText());
  }
}
