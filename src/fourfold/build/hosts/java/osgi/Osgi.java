package fourfold.host;

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
    /** Where HttpService implementations look for their port (OSGi Compendium 7, "Http Service Specification"). */
    private static final String HTTP_PORT = "org.osgi.service.http.port";
    /** Milliseconds for the framework to write what it has to. */
    private static final long CLOSE = 5000;
    private final Framework framework;
    private final Regions regions = new Regions();
    private volatile boolean closing;

    private Osgi(Path storage, Map<String, String> properties) throws BundleException {
        framework = Frameworks.init(storage, properties);
        regions.register(framework.getBundleContext());
        Dictionary<String, Object> named = new Hashtable<>();
        named.put("name", ENVIRONMENT);
        framework.getBundleContext().registerService(Map.class.getName(), new Environment(), named);
        framework.start();
    }

    public static void main(String[] arguments) throws Exception {
        List<String> words = List.of(arguments);
        if (words.size() > 1 && words.get(0).equals("--alone")) {
            String port = System.getenv("PORT");
            Map<String, String> properties = port == null ? Map.of() : Map.of(HTTP_PORT, port);
            Host.alone(own -> watched(new Osgi(own, properties)), words.subList(1, words.size()), "/");
        } else {
            Host.run(own -> watched(new Osgi(own.resolve("framework"), Map.of())));
        }
    }

    private static Osgi watched(Osgi kind) {
        Thread thread = new Thread(kind::watch, "framework");
        thread.setDaemon(true);
        thread.start();
        return kind;
    }

    /** A bundle may stop the framework, as it may call System.exit: then this process is of no more use. */
    private void watch() {
        try {
            FrameworkEvent event = framework.waitForStop(0);
            if (event.getType() != FrameworkEvent.WAIT_TIMEDOUT && !closing) {
                System.err.println("error: a bundle has stopped the framework");
                System.exit(1);
            }
        } catch (InterruptedException error) {
            return;
        }
    }

    @Override
    public String name() {
        return "osgi";
    }

    @Override
    public void close() throws Exception {
        closing = true;
        framework.stop();
        framework.waitForStop(CLOSE);
    }

    @Override
    public Running start(Guest guest) throws Exception {
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
