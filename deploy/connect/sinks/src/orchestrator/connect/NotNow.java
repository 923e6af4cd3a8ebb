package orchestrator.connect;

/** The other side cannot take the command at the moment: it is held, with all that come after it. */
final class NotNow extends Exception {
  private static final long serialVersionUID = 1L;

  /** What the other side asked for; zero where it did not say. */
  final long retryAfterMs;

  NotNow(String message, long retryAfterMs) {
    super(message, null, false, false);
    this.retryAfterMs = retryAfterMs;
  }
}
