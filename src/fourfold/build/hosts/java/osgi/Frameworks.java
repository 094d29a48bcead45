package fourfold.host;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.TreeSet;
import org.osgi.framework.BundleException;
import org.osgi.framework.Constants;
import org.osgi.framework.launch.Framework;
import org.osgi.framework.launch.FrameworkFactory;

/** Whichever framework is on the class path, by the launch API (OSGi Core 8, 4.2 "Frameworks"). */
final class Frameworks {
    private static final String[] OLD_JAVA = {
        "1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8",
    };

    private Frameworks() {}

    /** Initialized, not started: hooks are registered before any bundle is resolved. */
    static Framework init(Path storage, Map<String, String> more) throws BundleException {
        FrameworkFactory factory = ServiceLoader.load(FrameworkFactory.class).findFirst().orElseThrow();
        Map<String, String> properties = new HashMap<>();
        properties.put(Constants.FRAMEWORK_STORAGE, storage.toString());
        properties.put(Constants.FRAMEWORK_STORAGE_CLEAN, Constants.FRAMEWORK_STORAGE_CLEAN_ONFIRSTINIT);
        // Two releases of a member are there at once while one takes over from the other.
        properties.put(Constants.FRAMEWORK_BSNVERSION, Constants.FRAMEWORK_BSNVERSION_MULTIPLE);
        if (factory.getClass().getName().startsWith("org.apache.felix.")) {
            properties.putAll(asToday());
            // With Java 17 it knows no protocol any more, not even http, where it handles URLs.
            properties.put("felix.service.urlhandlers", "false");
        } else {
            properties.put("equinox.resolver.thread.count", "1"); // in the thread that asks: it would count as a guest's
            properties.put("osgi.instance.area", "@none");
            properties.put("osgi.user.area", "@none");
        }
        properties.putAll(more);
        Framework framework = factory.newFramework(properties);
        framework.init();
        return framework;
    }

    /**
     * What this JVM is and has. Equinox finds out by itself; Felix has it in tables, and those of the version that
     * distributions have end at Java 8.
     */
    private static Map<String, String> asToday() {
        TreeSet<String> packages = new TreeSet<>();
        ModuleLayer.boot()
                .modules()
                .forEach(module -> module.getDescriptor().exports().stream()
                        .filter(each -> !each.isQualified() && !each.source().startsWith("java."))
                        .forEach(each -> packages.add(each.source())));
        StringBuilder versions = new StringBuilder(String.join(",", OLD_JAVA));
        for (int version = 9; version <= Runtime.version().feature(); version++) {
            versions.append(',').append(version);
        }
        String capabilities = "osgi.ee; osgi.ee=\"OSGi/Minimum\"; version:List<Version>=\"1.0,1.1,1.2\","
                + "osgi.ee; osgi.ee=\"JavaSE\"; version:List<Version>=\"" + versions + "\"";
        for (int number = 1; number <= 3; number++) {
            String own = versions.substring(versions.indexOf("1.8"));
            capabilities += ",osgi.ee; osgi.ee=\"JavaSE/compact" + number + "\"; version:List<Version>=\"" + own + "\"";
        }
        return Map.of(
                Constants.FRAMEWORK_SYSTEMPACKAGES_EXTRA, String.join(",", packages),
                Constants.FRAMEWORK_SYSTEMCAPABILITIES, capabilities);
    }
}
