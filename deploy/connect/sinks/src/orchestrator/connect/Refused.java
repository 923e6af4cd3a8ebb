package orchestrator.connect;

/** This command will never be delivered as it is: it goes to the dead-letter topic, and the next one is taken. */
final class Refused extends Exception {
  private static final long serialVersionUID = 1L;

  final String reason;

  /** The detail is shown to operators, so it holds nothing of the command's content. */
  Refused(String reason, String detail) {
    super(detail, null, false, false);
    this.reason = reason;
  }
}
