package fourfold.host;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;

/**
 * CPU time and allocated bytes of guests, by their threads. What a thread took after it was last looked at and before
 * it ended is lost: all are looked at once a second.
 */
final class Meter {
    private static final int EVERY = 1000;
    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private final Map<Long, Seen> seen = new HashMap<>();
    private final Map<Guest, Sum> sums = new HashMap<>();

    /** Of a living thread, when it was last looked at. */
    private static final class Seen {
        long cpu;
        long bytes;
        boolean there;
    }

    static final class Sum {
        long cpu;
        long bytes;
        int threads;
    }

    void start() {
        Thread thread = new Thread(this::loop, "meter");
        thread.setDaemon(true);
        thread.start();
    }

    private void loop() {
        for (;;) {
            try {
                Thread.sleep(EVERY);
            } catch (InterruptedException error) {
                return;
            }
            look();
        }
    }

    synchronized void add(Guest guest) {
        sums.put(guest, new Sum());
    }

    synchronized void remove(Guest guest) {
        sums.remove(guest);
    }

    /** Of a guest since its start: nanoseconds, bytes, and threads now. */
    synchronized Sum of(Guest guest) {
        Sum sum = sums.getOrDefault(guest, new Sum());
        Sum copy = new Sum();
        copy.cpu = sum.cpu;
        copy.bytes = sum.bytes;
        copy.threads = sum.threads;
        return copy;
    }

    synchronized void look() {
        if (sums.isEmpty()) {
            return;
        }
        Thread[] all = all();
        long[] ids = new long[all.length];
        for (int place = 0; place < all.length; place++) {
            ids[place] = all[place].getId();
        }
        long[] cpu = threads.getThreadCpuTime(ids);
        long[] bytes = threads.getThreadAllocatedBytes(ids);
        for (Sum sum : sums.values()) {
            sum.threads = 0;
        }
        for (Seen each : seen.values()) {
            each.there = false;
        }
        for (int place = 0; place < all.length; place++) {
            if (cpu[place] < 0 || bytes[place] < 0) { // it has ended just now
                continue;
            }
            Seen last = seen.computeIfAbsent(ids[place], id -> new Seen());
            Sum sum = sums.get(Guest.of(all[place]));
            if (sum != null) {
                sum.threads++;
                sum.cpu += cpu[place] - last.cpu;
                sum.bytes += bytes[place] - last.bytes;
            }
            last.cpu = cpu[place];
            last.bytes = bytes[place];
            last.there = true;
        }
        for (Iterator<Seen> each = seen.values().iterator(); each.hasNext();) {
            if (!each.next().there) {
                each.remove();
            }
        }
    }

    /** The living threads of this JVM. */
    static Thread[] all() {
        ThreadGroup top = Thread.currentThread().getThreadGroup();
        while (top.getParent() != null) {
            top = top.getParent();
        }
        Thread[] found = new Thread[top.activeCount() + 64];
        int count = top.enumerate(found, true);
        while (count == found.length) { // no room for all
            found = new Thread[2 * found.length];
            count = top.enumerate(found, true);
        }
        return java.util.Arrays.copyOf(found, count);
    }
}
