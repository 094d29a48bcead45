package fourfold.host.tomcat;

import java.io.IOException;
import java.net.URL;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.jar.JarFile;
import org.apache.catalina.Context;
import org.apache.tomcat.util.buf.UriUtil;
import org.apache.tomcat.util.descriptor.web.ContextEnvironment;

/** Where a web application finds what a process would have in its environment. */
final class Settings {
    private static final Set<String> NUMBERS = Set.of("java.lang.Byte", "java.lang.Short", "java.lang.Integer", "java.lang.Long",
        "java.lang.Float", "java.lang.Double");

    private Settings() {}

    /** Called once web.xml was read: what is given now wins over what it says, under the type that it says. */
    static void put(Map<String, String> env, Context context) {
        for (Map.Entry<String, String> each : env.entrySet()) {
            context.removeParameter(each.getKey());
            context.addParameter(each.getKey(), each.getValue());
            ContextEnvironment declared = context.getNamingResources().findEnvironment(each.getKey());
            ContextEnvironment entry = new ContextEnvironment();
            entry.setName(each.getKey());
            entry.setType(declared == null ? "java.lang.String" : declared.getType());
            entry.setValue(each.getValue());
            check(entry);
            context.getNamingResources().removeEnvironment(each.getKey());
            context.getNamingResources().addEnvironment(entry);
        }
    }

    /** Tomcat leaves out, with a line in the log, what cannot be of its type: a null in the application, at some later time. */
    private static void check(ContextEnvironment entry) {
        if (!NUMBERS.contains(entry.getType())) {
            return;
        }
        try {
            Class.forName(entry.getType()).getMethod("valueOf", String.class).invoke(null, entry.getValue());
        } catch (ReflectiveOperationException error) {
            String what = entry.getName() + " is not a " + entry.getType() + ", as web.xml declares it";
            throw new IllegalArgumentException(what);
        }
    }

    /** Its META-INF/context.xml, or null. */
    static URL inWar(Path war) throws IOException {
        try (JarFile jar = new JarFile(war.toFile())) {
            return jar.getEntry("META-INF/context.xml") == null ? null : UriUtil.buildJarUrl(war.toFile(), "META-INF/context.xml");
        }
    }
}
