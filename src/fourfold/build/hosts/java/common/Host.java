package fourfold.host;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;

/** A host program: makes the control socket first, then what guests live in, and ends with SIGTERM. */
public final class Host {
    /** Seconds for guests to end in after SIGTERM: whoever sent it kills this process when it does not wait as long. */
    private static final double GRACE = 600;

    private Host() {}

    /** Makes the kind, which may take its time: requests wait for it. */
    public interface Maker {
        /** @param own a folder of this host's that can be written, there for as long as it runs */
        Kind make(Path own) throws Exception;
    }

    /** One guest alone in a process of its own, by this process's environment, until SIGTERM. Nothing controls it. */
    public static void alone(Maker maker, List<String> argv, String path) throws Exception {
        Demux.logs();
        Map<String, String> env = System.getenv();
        String port = env.get("PORT");
        Guest guest = new Guest("alone", "1", env.getOrDefault("FOURFOLD_SERVICE", "alone"), Path.of("").toAbsolutePath(), argv,
            env, env.getOrDefault("HOST", "127.0.0.1"), port == null ? null : Integer.valueOf(port), path, null);
        Path own = Files.createTempDirectory("fourfold-");
        Kind kind = maker.make(own);
        CompletableFuture<Kind.Running> started = new CompletableFuture<>();
        new Guest.Ours(guest, () -> {
            try {
                started.complete(kind.start(guest));
            } catch (Throwable error) {
                System.err.println("error: cannot start " + argv.get(0) + ": " + Cause.tell(error, guest));
                remove(own);
                Runtime.getRuntime().halt(1);
            }
        }, "start").start();
        Kind.Running running = started.get();
        guest.starting = false;
        guest.trouble = null;
        Runtime.getRuntime().addShutdownHook(new Guest.Ours(guest, () -> {
            try {
                if (exiting() != null) { // it may be in a request, which would be waited for
                    running.kill();
                } else {
                    String said = running.stop(GRACE);
                    if (said != null) {
                        System.err.println(said);
                    }
                }
                kind.close();
            } catch (Exception error) {
                error.printStackTrace();
            } finally {
                own.toFile().delete(); // it is empty, or stays
            }
            remove(own);
        }, "stop"));
        Thread.currentThread().join();
    }

    private static void remove(Path folder) {
        try (Stream<Path> inside = Files.walk(folder)) {
            for (Path each : inside.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(each);
            }
        } catch (IOException | UncheckedIOException error) {
            return; // it lies where everything is temporary
        }
    }

    /** The thread that has called System.exit, which waits in there for us; null: it is a signal that ends this process. */
    private static Thread exiting() {
        for (Map.Entry<Thread, StackTraceElement[]> each : Thread.getAllStackTraces().entrySet()) {
            for (StackTraceElement call : each.getValue()) {
                if (call.getClassName().equals("java.lang.Runtime") && call.getMethodName().equals("exit")) {
                    return each.getKey();
                }
            }
        }
        return null;
    }

    /** Serves until SIGTERM. */
    @SuppressWarnings("unchecked")
    public static void run(Maker maker) throws Exception {
        String told = System.getenv("FOURFOLD_HOST");
        if (told == null) {
            System.err.println("error: FOURFOLD_HOST is not set: the daemon starts this program");
            System.exit(2);
        }
        Path own = Path.of((String) ((Map<String, Object>) Json.read(told)).get("folder"), "own");
        Control control;
        try {
            control = new Control(own.resolve("control.sock"));
        } catch (IOException error) {
            System.err.println("error: cannot make " + own.resolve("control.sock") + ": " + error.getMessage());
            System.exit(1);
            return;
        }
        Demux.install();
        Guests guests = new Guests(maker.make(own), control::tell);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                Thread exiting = exiting();
                if (exiting == null) {
                    guests.stopAll(GRACE);
                } else {
                    Guest guest = Guest.of(exiting);
                    System.err.println("error: " + (guest == null ? "the host" : guest.name) + " has called System.exit");
                    guests.blame(guest);
                }
            } catch (InterruptedException error) {
                return; // it ends anyway
            }
        }, "end"));
        control.serve(guests::handle);
    }
}
