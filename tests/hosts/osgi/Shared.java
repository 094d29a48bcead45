package trial.api;

import java.util.concurrent.atomic.AtomicInteger;

/** What another guest that sees the same class would count, too. */
public final class Shared {
    private static final AtomicInteger CALLS = new AtomicInteger();

    private Shared() {}

    public static int count() {
        return CALLS.incrementAndGet();
    }
}
