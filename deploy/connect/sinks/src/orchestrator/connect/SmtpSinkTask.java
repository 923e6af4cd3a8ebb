package orchestrator.connect;

import jakarta.mail.AuthenticationFailedException;
import jakarta.mail.MessagingException;
import jakarta.mail.Session;
import jakarta.mail.Transport;
import jakarta.mail.internet.InternetAddress;
import jakarta.mail.internet.MimeMessage;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.connect.errors.ConnectException;
import org.eclipse.angus.mail.smtp.SMTPAddressFailedException;
import org.eclipse.angus.mail.smtp.SMTPSendFailedException;
import org.eclipse.angus.mail.smtp.SMTPSenderFailedException;

/** One mail for each command, over a connection that is kept while there is something to send. */
public final class SmtpSinkTask extends CommandSinkTask {
  private static final long IDLE_NS_MAX = 5_000_000_000L;
  private static final int NO_CODE = -1;

  private AbstractConfig settings;
  private Session session;
  private InternetAddress from;
  private InternetAddress replyTo;
  private Transport transport;
  private long usedAt;

  @Override
  AbstractConfig open(Map<String, String> given) {
    settings = new AbstractConfig(SmtpSinkConnector.SETTINGS, given);
    boolean signsIn = !settings.getString(SmtpSinkConnector.USER).isEmpty();
    if (signsIn && settings.getPassword(SmtpSinkConnector.PASSWORD).value().contains("${")) {
      throw new ConnectException(SmtpSinkConnector.PASSWORD + " names a secret that Connect cannot find");
    }
    session = Session.getInstance(properties());
    from = Mail.configured(settings.getString(SmtpSinkConnector.FROM), SmtpSinkConnector.FROM);
    replyTo = Mail.configured(settings.getString(SmtpSinkConnector.REPLY_TO), SmtpSinkConnector.REPLY_TO);
    return settings;
  }

  private Properties properties() {
    String security = settings.getString(SmtpSinkConnector.SECURITY);
    Properties properties = new Properties();
    properties.put("mail.transport.protocol", "smtp");
    properties.put("mail.smtp.host", settings.getString(SmtpSinkConnector.HOST));
    properties.put("mail.smtp.port", settings.getInt(SmtpSinkConnector.PORT).toString());
    properties.put("mail.smtp.connectiontimeout", settings.getInt(CommandSinkConnector.CONNECT_TIMEOUT_MS).toString());
    properties.put("mail.smtp.timeout", settings.getInt(CommandSinkConnector.READ_TIMEOUT_MS).toString());
    properties.put("mail.smtp.writetimeout", settings.getInt(CommandSinkConnector.READ_TIMEOUT_MS).toString());
    properties.put("mail.smtp.ssl.enable", String.valueOf(security.equals("tls")));
    properties.put("mail.smtp.starttls.enable", String.valueOf(security.equals("starttls")));
    properties.put("mail.smtp.starttls.required", String.valueOf(security.equals("starttls")));
    properties.put("mail.smtp.ssl.checkserveridentity", "true");
    properties.put("mail.smtp.auth", String.valueOf(!settings.getString(SmtpSinkConnector.USER).isEmpty()));
    return properties;
  }

  @Override
  void deliver(Command command) throws Refused, NotNow {
    MimeMessage message;
    try {
      message = Mail.of(command, session, from, replyTo);
    } catch (MessagingException error) {
      throw new Refused("not_a_mail", error.getClass().getSimpleName());
    }
    try {
      connect();
      transport.sendMessage(message, message.getAllRecipients());
      usedAt = System.nanoTime();
    } catch (MessagingException error) {
      disconnect();
      int code = error instanceof AuthenticationFailedException ? NO_CODE : code(error);
      if (code >= 500) {
        throw new Refused("smtp_" + code, "the mail server answered " + code);
      }
      String what = code == NO_CODE ? error.getClass().getSimpleName() : String.valueOf(code);
      throw new NotNow("the mail server does not take the mail: " + what, 0);
    }
  }

  private void connect() throws MessagingException {
    // Servers end connections that were idle; asking costs a round trip, so it is not done between two mails.
    if (transport != null && (System.nanoTime() - usedAt < IDLE_NS_MAX || transport.isConnected())) {
      return;
    }
    disconnect();
    transport = session.getTransport();
    String user = settings.getString(SmtpSinkConnector.USER);
    if (user.isEmpty()) {
      transport.connect();
    } else {
      transport.connect(user, settings.getPassword(SmtpSinkConnector.PASSWORD).value());
    }
    usedAt = System.nanoTime();
  }

  private void disconnect() {
    if (transport != null) {
      try {
        transport.close();
      } catch (MessagingException error) {
        // It is gone in any case.
      }
      transport = null;
    }
  }

  /** The server's answer to this recipient, sender or message, whichever says most. */
  private static int code(MessagingException error) {
    int code = NO_CODE;
    for (Exception at = error; at != null; at = at instanceof MessagingException next ? next.getNextException() : null) {
      if (at instanceof SMTPAddressFailedException address) {
        return address.getReturnCode();
      } else if (at instanceof SMTPSenderFailedException sender) {
        code = sender.getReturnCode();
      } else if (at instanceof SMTPSendFailedException send) {
        code = send.getReturnCode();
      }
    }
    return code;
  }

  @Override
  public void stop() {
    super.stop();
    disconnect();
  }
}
