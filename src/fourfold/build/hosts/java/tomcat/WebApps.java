package fourfold.host.tomcat;

import fourfold.host.Guest;
import fourfold.host.Kind;
import java.nio.file.Path;
import org.apache.catalina.LifecycleException;
import org.apache.catalina.core.JreMemoryLeakPreventionListener;
import org.apache.catalina.core.StandardServer;

/** One Tomcat, in which each guest has a service, an engine, a connector and threads of its own. */
final class WebApps implements Kind {
    private final Path own;
    private final ClassLoader parent = new Parent(WebApps.class.getClassLoader());

    /** With what is one for all in a JVM: the top of JNDI, and the threads that look after sessions. */
    private final StandardServer server = new StandardServer();

    WebApps(Path own) throws LifecycleException {
        this.own = own;
        server.setPort(-1);
        server.setCatalinaBase(own.toFile());
        server.setCatalinaHome(own.toFile());
        server.addLifecycleListener(new JreMemoryLeakPreventionListener());
        server.start();
    }

    @Override
    public String name() {
        return "tomcat";
    }

    @Override
    public Running start(Guest guest) throws Exception {
        WebApp app = new WebApp(guest, own.resolve(guest.id + "." + guest.run), server, parent);
        try {
            app.start();
        } catch (Throwable error) {
            try {
                app.end();
            } catch (Exception another) {
                error.addSuppressed(another);
            }
            throw error;
        }
        return app;
    }

    /** What web applications see of this program: Tomcat and the interfaces that it implements, and nothing of ours. */
    private static final class Parent extends ClassLoader {
        static {
            registerAsParallelCapable();
        }

        Parent(ClassLoader parent) {
            super("tomcat", parent);
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (name.startsWith("fourfold.host.")) {
                throw new ClassNotFoundException(name);
            }
            return super.loadClass(name, resolve);
        }
    }
}
