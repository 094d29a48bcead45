package fourfold.host.tomcat;

import fourfold.host.Host;
import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.tomcat.util.modeler.Registry;

/** Web applications in one JVM, as a supervisor says, or one alone: `--alone WAR PATH`. */
public final class Program {
    /** Loggers live as long as somebody holds them. What Tomcat does in order is of no use in the log of an application. */
    private static final List<Logger> QUIET =
        Stream.of("catalina", "coyote", "jasper", "tomcat").map(part -> level("org.apache." + part, Level.WARNING))
            .collect(Collectors.toList());
    /** Where `ServletContext.log` goes. */
    private static final Logger CONTEXTS = level("org.apache.catalina.core.ContainerBase", Level.INFO);

    private Program() {}

    private static Logger level(String name, Level level) {
        Logger logger = Logger.getLogger(name);
        logger.setLevel(level);
        return logger;
    }

    public static void main(String[] arguments) throws Exception {
        // JNDI of Tomcat's own, by the class loader of whoever asks: Tomcat.enableNaming() does the same.
        System.setProperty("catalina.useNaming", "true");
        System.setProperty("java.naming.factory.url.pkgs", "org.apache.naming");
        System.setProperty("java.naming.factory.initial", "org.apache.naming.java.javaURLContextFactory");
        Registry.disableRegistry(); // no MBeans: they would need names that are unique over all guests
        if (arguments.length == 3 && arguments[0].equals("--alone")) {
            Host.alone(WebApps::new, List.of(arguments[1]), arguments[2]);
        } else {
            Host.run(WebApps::new);
        }
    }
}
