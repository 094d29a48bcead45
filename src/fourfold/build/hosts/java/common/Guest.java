package fourfold.host;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.WeakHashMap;

/**
 * One guest, as the supervisor told to start it. Whose thread it is, is told by the thread's context class loader, when
 * a guest has claimed that or one above it, else by its group: what a guest starts is born into the guest's own.
 */
public final class Guest {
    private static final Map<ClassLoader, Guest> CLAIMED = Collections.synchronizedMap(new WeakHashMap<>());
    public final String id;
    /** As the supervisor calls it: text or a number. */
    public final Object run;
    /** Of the service. */
    public final String name;
    public final Path tree;
    public final List<String> argv;
    public final Map<String, String> env;
    /** Where to listen; both null: nowhere. */
    public final String host;
    public final Integer port;
    /** Of its route; `/` at least. */
    public final String path;
    public final ThreadGroup threads;
    /** Null: it prints where the process does. */
    private final Path log;
    private OutputStream out;
    /** Only while it starts: what is kept here later would keep its classes in memory. */
    volatile boolean starting = true;
    /** The first of what it logged as an error when it started, for a failure that says nothing itself. */
    volatile Throwable trouble;

    public Guest(String id, Object run, String name, Path tree, List<String> argv, Map<String, String> env, String host,
            Integer port, String path, Path log) {
        this.id = id;
        this.run = run;
        this.name = name;
        this.tree = tree;
        this.argv = List.copyOf(argv);
        this.env = Map.copyOf(env);
        this.host = host;
        this.port = port;
        this.path = path;
        this.log = log;
        this.threads = new Group(this);
    }

    private static final class Group extends ThreadGroup {
        volatile Guest guest;

        Group(Guest guest) {
            super(top(), guest.id);
            this.guest = guest;
        }

        private static ThreadGroup top() {
            ThreadGroup group = Thread.currentThread().getThreadGroup();
            while (group instanceof Group) {
                group = group.getParent();
            }
            return group;
        }
    }

    /** Threads with this context class loader, or one below it, are the guest's. Held weakly. */
    public void claim(ClassLoader loader) {
        CLAIMED.put(loader, this);
    }

    /** The loaders that it has claimed and that are still there. */
    List<ClassLoader> claimed() {
        List<ClassLoader> found = new ArrayList<>();
        synchronized (CLAIMED) {
            for (Map.Entry<ClassLoader, Guest> each : CLAIMED.entrySet()) {
                if (each.getValue() == this) {
                    found.add(each.getKey());
                }
            }
        }
        return found;
    }

    /** Whose this thread is, or null: the host's. */
    public static Guest current() {
        return of(Thread.currentThread());
    }

    static Guest of(Thread thread) {
        for (ClassLoader loader = thread.getContextClassLoader(); loader != null; loader = loader.getParent()) {
            Guest guest = CLAIMED.get(loader);
            if (guest != null) {
                return guest;
            }
        }
        for (ThreadGroup group = thread.getThreadGroup(); group != null; group = group.getParent()) {
            if (group instanceof Group) {
                return ((Group) group).guest;
            }
        }
        return null;
    }

    /** A thread of ours in a guest's group. */
    static final class Ours extends Thread {
        Ours(Guest guest, Runnable work, String name) {
            super(guest.threads, work, name);
            setDaemon(false); // as a main thread: what the guest starts is no daemon unless it says so
        }
    }

    private List<Thread> started() {
        Thread[] found = new Thread[threads.activeCount() + 64];
        int count = threads.enumerate(found, true);
        List<Thread> own = new ArrayList<>();
        for (Thread each : java.util.Arrays.copyOf(found, count)) {
            if (!(each instanceof Ours)) {
                own.add(each);
            }
        }
        return own;
    }

    /** Whether threads that it has started are there that a JVM of its own would wait for at its end: no daemons. */
    boolean isWorking() {
        return started().stream().anyMatch(each -> !each.isDaemon());
    }

    /** It is over, and no thread is left. Groups stay in their parent's list: what a guest was is not to stay with them. */
    void release() {
        ((Group) threads).guest = null;
    }

    void interrupt() {
        started().forEach(Thread::interrupt);
    }

    /** Appends to its log. The spawner cuts what is old off the front, so that the file is opened to append only. */
    synchronized void write(byte[] bytes, int from, int length) throws IOException {
        if (out == null) {
            out = new FileOutputStream(log.toFile(), true);
        }
        out.write(bytes, from, length);
    }

    synchronized void close() {
        try {
            if (out != null) {
                out.close();
            }
        } catch (IOException error) {
            // nothing is buffered
        }
        out = null;
    }
}
