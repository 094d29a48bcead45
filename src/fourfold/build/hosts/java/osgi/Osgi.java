package fourfold.host;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Dictionary;
import java.util.Hashtable;
import java.util.List;
import java.util.Map;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleException;
import org.osgi.framework.FrameworkEvent;
import org.osgi.framework.ServiceFactory;
import org.osgi.framework.ServiceRegistration;
import org.osgi.framework.launch.Framework;

/**
 * One OSGi framework for all guests. This part of ours is its launcher, not a bundle in it: no guest can stop, update or
 * be wired to it, and it is the same for every framework.
 */
public final class Osgi implements Kind {
    /** The service property that tells the environment from other maps: `(name=fourfold.env)`. */
    private static final String ENVIRONMENT = "fourfold.env";
    private final Framework framework;
    private final Regions regions = new Regions();

    private Osgi(Path storage, Map<String, String> properties) throws BundleException {
        framework = Frameworks.init(storage, properties);
        regions.register(framework.getBundleContext());
        Dictionary<String, Object> named = new Hashtable<>();
        named.put("name", ENVIRONMENT);
        framework.getBundleContext().registerService(Map.class.getName(), new Environment(), named);
        framework.start();
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 1 && arguments[0].equals("--alone")) {
            alone(List.of(arguments).subList(1, arguments.length));
            return;
        }
        Host.run(own -> {
            Osgi kind = new Osgi(own.resolve("framework"), Map.of());
            Thread watch = new Thread(kind::watch, "framework");
            watch.setDaemon(true);
            watch.start();
            return kind;
        });
    }

    /** One guest in a process of its own: its environment is the process's, and it ends when the process does. */
    private static void alone(List<String> bundles) throws Exception {
        Demux.logs();
        Map<String, String> env = System.getenv();
        Path storage = Files.createTempDirectory("fourfold-osgi-");
        Map<String, String> properties = env.containsKey("PORT") ? Map.of(HTTP_PORT, env.get("PORT")) : Map.of();
        Osgi kind = new Osgi(storage, properties);
        Integer port = env.containsKey("PORT") ? Integer.valueOf(env.get("PORT")) : null;
        Guest guest = new Guest("alone", 1, "alone", Path.of(""), bundles, env, env.get("HOST"), port, "/", null);
        Region region = new Region(guest, kind.framework, kind.regions);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            String trouble = region.stop(0);
            if (trouble != null) {
                System.err.println("error: " + trouble);
            }
            remove(storage);
        }));
        Thread starter = new Guest.Ours(guest, () -> {
            try {
                region.start();
            } catch (Throwable error) { // whatever code of others throws
                error.printStackTrace();
                System.err.println("error: cannot start the bundles: " + Cause.say(error, guest));
                System.exit(1);
            }
        }, "start");
        starter.start();
        kind.watch();
    }

    /** Where HttpService implementations look for their port (OSGi Compendium 7, 102.9). */
    private static final String HTTP_PORT = "org.osgi.service.http.port";

    /** A bundle may stop the framework, as it may call System.exit: then this process is of no more use. */
    private void watch() {
        try {
            FrameworkEvent event = framework.waitForStop(0);
            if (event.getType() != FrameworkEvent.WAIT_TIMEDOUT) {
                System.err.println("error: a bundle has stopped the framework");
                System.exit(1);
            }
        } catch (InterruptedException error) {
            return;
        }
    }

    private static void remove(Path folder) {
        try (java.util.stream.Stream<Path> inside = Files.walk(folder)) {
            for (Path each : inside.sorted(java.util.Comparator.reverseOrder()).toList()) {
                Files.delete(each);
            }
        } catch (IOException error) {
            return; // it lies in a folder for what is temporary
        }
    }

    @Override
    public String name() {
        return "osgi";
    }

    @Override
    public Running start(Guest guest) throws BundleException {
        Region region = new Region(guest, framework, regions);
        region.start();
        return region;
    }

    /** A guest's bundles see the guest's variables, PORT and HOST among them, as a Map; others the host's. */
    private final class Environment implements ServiceFactory<Map<String, String>> {
        @Override
        public Map<String, String> getService(Bundle bundle, ServiceRegistration<Map<String, String>> registration) {
            Region region = regions.of(bundle);
            return region == null ? System.getenv() : region.guest.env;
        }

        @Override
        public void ungetService(Bundle bundle, ServiceRegistration<Map<String, String>> registration, Map<String, String> env) {}
    }
}
