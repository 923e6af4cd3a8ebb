package orchestrator.connect;

import jakarta.mail.Message;
import jakarta.mail.MessagingException;
import jakarta.mail.Session;
import jakarta.mail.internet.AddressException;
import jakarta.mail.internet.InternetAddress;
import jakarta.mail.internet.MimeMessage;
import java.util.Date;
import java.util.regex.Pattern;
import org.apache.kafka.common.config.ConfigException;

/**
 * The mail that a command is: its content's {@code subject} and {@code body}, the body as HTML.
 *
 * <p>Its Message-ID is made of the action id, so that a repeat after a crash is the same message to mail servers.
 */
final class Mail {
  private static final Pattern PLAIN = Pattern.compile("[^\\s\\p{Cntrl}<>(),:;\"\\\\\\[\\]@]+@[A-Za-z0-9.-]+");

  private Mail() {}

  static MimeMessage of(Command command, Session session, InternetAddress from, InternetAddress replyTo)
      throws Refused, MessagingException {
    MimeMessage message = new WithId(session, command.actionId().replace(':', '-') + "@" + domain(from));
    message.setFrom(from);
    if (replyTo != null) {
      message.setReplyTo(new InternetAddress[] {replyTo});
    }
    message.setRecipient(Message.RecipientType.TO, recipient(command.address()));
    message.setSubject(oneLine(part(command, "subject")), "UTF-8");
    message.setText(part(command, "body"), "UTF-8", "html");
    offerSigningOff(command, message);
    message.setHeader("X-Action-Id", command.actionId());
    message.setSentDate(new Date());
    message.saveChanges();
    return message;
  }

  /**
   * The button that mail programs show, where the mail is one that can be signed off from.
   *
   * <p>Source: RFC 8058, section 3.1.
   */
  private static void offerSigningOff(Command command, MimeMessage message) throws MessagingException {
    String address = command.json().path(Links.FIELD).path(Links.UNSUBSCRIBE).asText();
    if (!address.isEmpty()) {
      message.setHeader("List-Unsubscribe", "<" + address + ">");
      message.setHeader("List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
    }
  }

  /** The configured address, or null where none is. */
  static InternetAddress configured(String text, String setting) {
    if (text.isBlank()) {
      return null;
    }
    try {
      InternetAddress address = new InternetAddress(text, true);
      address.setPersonal(address.getPersonal(), "UTF-8");
      if (!address.getAddress().contains("@")) {
        throw new ConfigException(setting + " has no domain");
      }
      return address;
    } catch (AddressException | java.io.UnsupportedEncodingException error) {
      throw new ConfigException(setting + " is not one mail address");
    }
  }

  private static InternetAddress recipient(String text) throws Refused {
    // A name, a group or a comment around the address would be the customer's to choose.
    if (PLAIN.matcher(text).matches()) {
      try {
        return new InternetAddress(text, true);
      } catch (AddressException error) {
        // Said below, without the address.
      }
    }
    throw new Refused("bad_address", "the address is not one plain mail address");
  }

  private static String part(Command command, String name) throws Refused {
    String text = command.content().get(name);
    if (text == null) {
      throw new Refused("missing_value", "the content has no " + name);
    }
    return text;
  }

  private static String oneLine(String text) {
    return text.replaceAll("[\\p{Cntrl}\\u2028\\u2029]+", " ").strip();
  }

  private static String domain(InternetAddress address) {
    return address.getAddress().substring(address.getAddress().lastIndexOf('@') + 1);
  }

  private static final class WithId extends MimeMessage {
    private final String id;

    WithId(Session session, String id) {
      super(session);
      this.id = id;
    }

    @Override
    protected void updateMessageID() throws MessagingException {
      setHeader("Message-ID", "<" + id + ">");
    }
  }
}
