package fourfold.host;

import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;

/** What a guest that has ended has left behind: threads, and class loaders that something still holds. */
final class Leaks {
    /** Milliseconds before each look: threads end by and by, and the collector is asked for a whole collection. */
    private static final int[] LOOKS = {500, 1500, 3000};
    private static final int NAMED = 5;
    /** When the last collection began. */
    private static long collected = System.nanoTime();

    private Leaks() {}

    /** Waits and looks, in a thread of the host's; `tell` gets a sentence if something stays. */
    static void watch(Guest guest, java.util.function.Consumer<String> tell) {
        List<WeakReference<ClassLoader>> loaders = new ArrayList<>();
        for (ClassLoader each : guest.claimed()) {
            loaders.add(new WeakReference<>(each));
        }
        Thread thread = new Thread(guest.threads.getParent(), () -> look(guest, loaders, tell), "leaks of " + guest.id);
        thread.setContextClassLoader(Leaks.class.getClassLoader());
        thread.setDaemon(true);
        thread.start();
    }

    private static void look(Guest guest, List<WeakReference<ClassLoader>> loaders, java.util.function.Consumer<String> tell) {
        List<String> threads = List.of();
        boolean held = false;
        for (int wait : LOOKS) {
            try {
                Thread.sleep(wait);
            } catch (InterruptedException error) {
                return;
            }
            threads = threads(guest);
            if (threads.isEmpty()) { // a thread holds its loader: no need to collect for that
                collect(System.nanoTime());
                held = loaders.stream().anyMatch(each -> each.get() != null);
                if (!held) {
                    guest.release();
                    return;
                }
            }
        }
        if (!threads.isEmpty()) {
            String more = threads.size() > NAMED ? ", …" : "";
            tell.accept(threads.size() + " of its threads still run: "
                + String.join(", ", threads.subList(0, Math.min(NAMED, threads.size()))) + more
                + "; end them when it is stopped: they keep its classes in memory until the group restarts");
        } else if (held) {
            guest.release();
            tell.accept("its classes stay in memory: something outside still refers to them (a ThreadLocal of a shared thread, a "
                + "driver or handler that was registered and not removed); only a restart of the group frees them");
        }
    }

    /** It stops all guests for a moment: one collection serves for all that wait for one. */
    private static synchronized void collect(long asked) {
        if (collected - asked < 0) {
            collected = System.nanoTime();
            System.gc();
        }
    }

    private static List<String> threads(Guest guest) {
        List<String> found = new ArrayList<>();
        for (Thread each : Meter.all()) {
            if (Guest.of(each) == guest) {
                found.add(each.getName());
            }
        }
        return found;
    }
}
