package fourfold.host;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;

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
                guests.stopAll(GRACE);
            } catch (InterruptedException error) {
                return; // it ends anyway
            }
        }, "end"));
        control.serve(guests::handle);
    }
}
