package fourfold.host;

import java.io.File;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleException;
import org.osgi.framework.FrameworkEvent;
import org.osgi.framework.launch.Framework;
import org.osgi.framework.wiring.BundleRevision;
import org.osgi.framework.wiring.BundleWiring;
import org.osgi.framework.wiring.FrameworkWiring;

/** The bundles of one guest: installed, started, stopped and uninstalled together. */
final class Region implements Kind.Running {
    /** Milliseconds for threads, but for daemons, to end by themselves once all bundles have stopped; then all are interrupted. */
    private static final long LEAVE = 2000;
    private static final long REFRESH_SECONDS = 10;

    final Guest guest;
    private final Framework framework;
    private final Regions regions;
    private final Set<Bundle> bundles = Collections.synchronizedSet(new LinkedHashSet<>());

    Region(Guest guest, Framework framework, Regions regions) {
        this.guest = guest;
        this.framework = framework;
        this.regions = regions;
    }

    /** All are installed before one is started: they are resolved against each other. Or nothing stays. */
    void start() throws Exception {
        boolean started = false;
        try {
            List<Bundle> own = new ArrayList<>();
            for (String path : guest.argv) {
                own.add(install(path));
            }
            for (Bundle bundle : own) {
                if (!isFragment(bundle)) {
                    bundle.start(Bundle.START_TRANSIENT);
                }
            }
            started = true;
        } catch (BundleException error) {
            throw error.getCause() == null ? new InAWord(error.getMessage()) : error;
        } finally {
            claim();
            if (!started) {
                Thread.interrupted(); // a state change would be broken off at once
                end(0);
            }
        }
    }

    /** Why the framework does not start a bundle, in its own words; those of resolvers have several lines. */
    private static final class InAWord extends Exception {
        private static final long serialVersionUID = 1;

        InAWord(String message) {
            super(message, null, false, false);
            System.err.println(message);
        }

        @Override
        public String toString() {
            return getMessage().strip().replaceAll("\\s*\\R\\s*", "; ");
        }
    }

    /** By reference: nothing is copied, and the file stays until the guest has ended. */
    private Bundle install(String path) throws BundleException {
        String location = "reference:" + new File(path).toURI();
        regions.add(location, this);
        Bundle bundle = framework.getBundleContext().installBundle(location);
        bundles.add(bundle);
        return bundle;
    }

    /** One that a bundle of it has installed by itself. */
    void installed(Bundle bundle) {
        bundles.add(bundle);
    }

    private void claim() {
        for (Bundle bundle : all()) {
            BundleWiring wiring = bundle.adapt(BundleWiring.class);
            ClassLoader loader = wiring == null ? null : wiring.getClassLoader();
            if (loader != null) {
                guest.claim(loader);
            }
        }
    }

    @Override
    public String stop(double grace) {
        String trouble = end(Math.min(LEAVE, (long) (grace * 1000)));
        return trouble == null ? null : "it did not stop in order: " + trouble;
    }

    @Override
    public void kill() {
        guest.interrupt();
        end(0);
    }

    /** Nothing to count: its bundles answer requests by whatever server they bring. */
    @Override
    public Map<String, Object> usage() {
        return Map.of();
    }

    /** @return the first that went wrong; the rest was done all the same */
    private synchronized String end(long leave) {
        List<String> troubles = new ArrayList<>();
        List<Bundle> backwards = all();
        Collections.reverse(backwards);
        for (Bundle bundle : backwards) {
            attempt(() -> bundle.stop(Bundle.STOP_TRANSIENT), !isFragment(bundle), bundle, troubles);
        }
        await(leave);
        for (Bundle bundle : backwards) {
            attempt(bundle::uninstall, true, bundle, troubles);
        }
        refresh(backwards);
        guest.interrupt();
        bundles.removeIf(each -> each.getState() == Bundle.UNINSTALLED);
        if (bundles.isEmpty()) {
            regions.remove(this);
        }
        return troubles.isEmpty() ? null : troubles.get(0);
    }

    private interface Act {
        void run() throws BundleException;
    }

    private void attempt(Act act, boolean can, Bundle bundle, List<String> troubles) {
        try {
            if (can && bundle.getState() != Bundle.UNINSTALLED) {
                act.run();
            }
        } catch (Throwable error) { // whatever code of others throws
            troubles.add(Cause.tell(error, guest));
        }
    }

    private void await(long milliseconds) {
        long until = System.nanoTime() + milliseconds * 1_000_000;
        try {
            while (guest.isWorking() && System.nanoTime() < until) {
                Thread.sleep(20);
            }
        } catch (InterruptedException error) { // killed: at once, then
            return;
        }
    }

    /**
     * Their class loaders go only now (OSGi Core 8, "Bundle Wiring API", refreshing); nobody else is wired to them. In a
     * thread of the host's: frameworks start threads for that, which stay.
     */
    private void refresh(List<Bundle> gone) {
        CountDownLatch done = new CountDownLatch(1);
        Thread thread = new Thread(guest.threads.getParent(), () -> {
            try {
                framework.adapt(FrameworkWiring.class).refreshBundles(gone, event -> {
                    if (event.getType() == FrameworkEvent.PACKAGES_REFRESHED) {
                        done.countDown();
                    }
                });
            } catch (IllegalStateException error) { // the framework itself has stopped
                done.countDown();
            }
        }, "refresh");
        thread.setContextClassLoader(Region.class.getClassLoader());
        thread.start();
        try {
            done.await(REFRESH_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException error) { // killed: it goes on by itself
            return;
        }
    }

    private List<Bundle> all() {
        synchronized (bundles) {
            return new ArrayList<>(bundles);
        }
    }

    private static boolean isFragment(Bundle bundle) {
        BundleRevision revision = bundle.adapt(BundleRevision.class);
        return revision != null && (revision.getTypes() & BundleRevision.TYPE_FRAGMENT) != 0;
    }
}
