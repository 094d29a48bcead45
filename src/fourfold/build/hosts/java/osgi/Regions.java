package fourfold.host;

import java.util.Collection;
import java.util.Iterator;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleContext;
import org.osgi.framework.BundleEvent;
import org.osgi.framework.ServiceEvent;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.hooks.bundle.EventHook;
import org.osgi.framework.hooks.resolver.ResolverHook;
import org.osgi.framework.hooks.resolver.ResolverHookFactory;
import org.osgi.framework.hooks.service.EventListenerHook;
import org.osgi.framework.hooks.service.ListenerHook.ListenerInfo;
import org.osgi.framework.wiring.BundleCapability;
import org.osgi.framework.wiring.BundleRequirement;
import org.osgi.framework.wiring.BundleRevision;

/**
 * Guests see the framework and their own bundles, not each other's: packages, services, singletons, bundles.
 *
 * <p>Otherwise a new release would be wired to packages of the old one beside it, and be restarted when that goes. By
 * the standard's own hooks (OSGi Core 8, chapters 53 "Resolver Hooks", 54 "Bundle Hooks", 55 "Service Hooks").
 */
final class Regions
        implements ResolverHookFactory,
                ResolverHook,
                EventHook,
                EventListenerHook,
                org.osgi.framework.hooks.bundle.FindHook,
                org.osgi.framework.hooks.service.FindHook {
    private final Map<String, Region> byLocation = new ConcurrentHashMap<>();
    private final Map<Long, Region> byId = new ConcurrentHashMap<>();

    void register(BundleContext context) {
        String[] kinds = {
            ResolverHookFactory.class.getName(),
            EventHook.class.getName(),
            EventListenerHook.class.getName(),
            org.osgi.framework.hooks.bundle.FindHook.class.getName(),
            org.osgi.framework.hooks.service.FindHook.class.getName(),
        };
        context.registerService(kinds, this, null);
    }

    /** Before it is installed: other threads may resolve it at once. */
    void add(String location, Region region) {
        byLocation.put(location, region);
    }

    void remove(Region region) {
        byLocation.values().removeIf(each -> each == region);
        byId.values().removeIf(each -> each == region);
    }

    /** Null for the framework itself. */
    Region of(Bundle bundle) {
        Region region = byId.get(bundle.getBundleId());
        return region != null ? region : byLocation.get(bundle.getLocation());
    }

    private boolean sees(Bundle bundle, Bundle other) {
        return bundle.getBundleId() == 0 || other.getBundleId() == 0 || Objects.equals(of(bundle), of(other));
    }

    @Override
    public ResolverHook begin(Collection<BundleRevision> triggers) {
        return this;
    }

    @Override
    public void filterResolvable(Collection<BundleRevision> candidates) {}

    @Override
    public void filterSingletonCollisions(BundleCapability singleton, Collection<BundleCapability> candidates) {
        Bundle bundle = singleton.getRevision().getBundle();
        candidates.removeIf(each -> !sees(bundle, each.getRevision().getBundle()));
    }

    @Override
    public void filterMatches(BundleRequirement requirement, Collection<BundleCapability> candidates) {
        Bundle bundle = requirement.getRevision().getBundle();
        candidates.removeIf(each -> !sees(bundle, each.getRevision().getBundle()));
    }

    @Override
    public void end() {}

    /** What a region's bundle installs is of that region, and goes with it. */
    @Override
    public void event(BundleEvent event, Collection<BundleContext> contexts) {
        Region region = event.getType() == BundleEvent.INSTALLED ? of(event.getOrigin()) : null;
        if (region != null && byId.putIfAbsent(event.getBundle().getBundleId(), region) == null) {
            region.installed(event.getBundle());
        }
        contexts.removeIf(each -> !sees(each.getBundle(), event.getBundle()));
    }

    @Override
    public void find(BundleContext context, Collection<Bundle> bundles) {
        bundles.removeIf(each -> !sees(context.getBundle(), each));
    }

    @Override
    public void find(
            BundleContext context, String name, String filter, boolean all, Collection<ServiceReference<?>> references) {
        references.removeIf(each -> each.getBundle() != null && !sees(context.getBundle(), each.getBundle()));
    }

    @Override
    public void event(ServiceEvent event, Map<BundleContext, Collection<ListenerInfo>> listeners) {
        Bundle bundle = event.getServiceReference().getBundle();
        Iterator<BundleContext> each = listeners.keySet().iterator();
        while (bundle != null && each.hasNext()) {
            if (!sees(each.next().getBundle(), bundle)) {
                each.remove();
            }
        }
    }
}
