package orchestrator.connect;

import java.util.Arrays;

/**
 * Digests of customers, each with the instant up to which commands are recalled.
 *
 * <p>Three numbers in one array for each: 24 bytes, and at most 64 with the places that are free. A map of objects takes
 * four times that, and whoever clears a shop of its inactive customers erases millions at once.
 */
final class RecallTable {
  private static final int NUMBERS = 3;
  private static final int PLACES_MIN = 1 << 10;
  private static final long FREE = Long.MIN_VALUE;

  private long[] numbers = free(PLACES_MIN);
  private int size;

  int size() {
    return size;
  }

  /** Keeps the instant, unless a later one is there. */
  void put(long high, long low, long untilMs) {
    int place = placeOf(high, low);
    if (numbers[place + 2] == FREE) {
      size++;
    }
    numbers[place] = high;
    numbers[place + 1] = low;
    numbers[place + 2] = Math.max(numbers[place + 2], Math.max(untilMs, FREE + 1));
    if (size > places() / 4 * 3) {
      grow();
    }
  }

  /** Whether a command of this instant is recalled. */
  boolean isRecalled(long high, long low, long createdAtMs) {
    long untilMs = numbers[placeOf(high, low) + 2];
    return untilMs != FREE && createdAtMs <= untilMs;
  }

  private int placeOf(long high, long low) {
    // The parts of a digest are as good as chance, so its last bits are spread as they are.
    int mask = places() - 1;
    int place = (int) low & mask;
    while (numbers[NUMBERS * place + 2] != FREE
        && (numbers[NUMBERS * place] != high || numbers[NUMBERS * place + 1] != low)) {
      place = (place + 1) & mask;
    }
    return NUMBERS * place;
  }

  private int places() {
    return numbers.length / NUMBERS;
  }

  private void grow() {
    long[] before = numbers;
    numbers = free(2 * before.length / NUMBERS);
    size = 0;
    for (int at = 0; at < before.length; at += NUMBERS) {
      if (before[at + 2] != FREE) {
        put(before[at], before[at + 1], before[at + 2]);
      }
    }
  }

  private static long[] free(int places) {
    long[] numbers = new long[NUMBERS * places];
    Arrays.fill(numbers, FREE);
    return numbers;
  }
}
