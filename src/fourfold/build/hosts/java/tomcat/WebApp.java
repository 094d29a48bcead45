package fourfold.host.tomcat;

import fourfold.host.Guest;
import fourfold.host.Kind;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.ThreadPoolExecutor;
import org.apache.catalina.Lifecycle;
import org.apache.catalina.LifecycleException;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.core.StandardContext;
import org.apache.catalina.core.StandardEngine;
import org.apache.catalina.core.StandardHost;
import org.apache.catalina.core.StandardServer;
import org.apache.catalina.core.StandardService;
import org.apache.catalina.startup.ContextConfig;
import org.apache.catalina.startup.ExpandWar;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.valves.ErrorReportValve;
import org.apache.catalina.valves.RemoteIpValve;
import org.apache.tomcat.util.scan.StandardJarScanner;

/** One web application, with a Tomcat around it. */
final class WebApp implements Kind.Running {
    private static final int LOOK = 20;
    private final Guest guest;
    /** Where it is unpacked, and where its pages are compiled. */
    private final Path folder;
    private final StandardService service = new StandardService();
    private final StandardHost host = new StandardHost();
    private final Count count = new Count();
    private final Context context;
    private Connector connector;

    WebApp(Guest guest, Path folder, StandardServer server, ClassLoader parent) throws IOException {
        this.guest = guest;
        this.folder = folder;
        Files.createDirectories(folder.resolve("apps"));
        StandardEngine engine = new StandardEngine();
        engine.setName(guest.id);
        engine.setDefaultHost("localhost");
        engine.getPipeline().addValve(new RemoteIpValve()); // the gateway says who asked, and whether by TLS
        engine.getPipeline().addValve(count);
        host.setName("localhost");
        host.setAppBase(folder.resolve("apps").toString());
        host.setAutoDeploy(false);
        host.setDeployOnStartup(false);
        ErrorReportValve report = new ErrorReportValve();
        report.setShowReport(false); // stack traces are for the log
        report.setShowServerInfo(false);
        host.getPipeline().addValve(report);
        context = new Context(guest, folder.resolve("work").toFile(), parent);
        engine.addChild(host);
        service.setName(guest.id);
        service.setContainer(engine);
        service.setServer(server); // not added: it would swallow what goes wrong, and all of them end by themselves
    }

    /** A context that its own META-INF/context.xml cannot make privileged: it could load Tomcat's own servlets. */
    private static final class Context extends StandardContext {
        Context(Guest guest, File work, ClassLoader parent) throws IOException {
            Path place = guest.tree.resolve(guest.argv.get(0));
            String path = guest.path.replaceAll("/+$", "");
            setName(path);
            setPath(path);
            setDocBase(place.toString());
            setWorkDir(Files.createDirectories(work.toPath()).toString());
            setParentClassLoader(parent);
            setFailCtxIfServletStartFails(true); // not ready, rather than ready and answering with errors
            StandardJarScanner scanner = new StandardJarScanner();
            scanner.setScanClassPath(false); // there are no fragments or tag libraries among Tomcat's own
            setJarScanner(scanner);
            addLifecycleListener(new Tomcat.DefaultWebXmlListener());
            ContextConfig config = new ContextConfig();
            config.setDefaultWebXml("org/apache/catalina/startup/NO_DEFAULT_XML");
            Path own = place.resolve("META-INF/context.xml");
            if (Files.isRegularFile(place)) {
                setConfigFile(Settings.inWar(place));
            } else if (Files.isRegularFile(own)) {
                setConfigFile(own.toUri().toURL());
            }
            addLifecycleListener(config);
            addLifecycleListener(event -> {
                if (event.getType().equals(Lifecycle.CONFIGURE_START_EVENT)) {
                    guest.claim(getLoader().getClassLoader());
                    Settings.put(guest.env, this);
                }
            });
        }

        @Override
        public void setPrivileged(boolean wanted) {}

        @Override
        public void setReloadable(boolean wanted) {}
    }

    void start() throws Exception {
        host.addChild(context);
        service.init();
        service.start();
        if (!context.getState().isAvailable()) {
            throw new LifecycleException("the web application does not start");
        }
        if (guest.port != null) {
            listen();
        }
    }

    private void listen() throws LifecycleException {
        connector = new Connector("HTTP/1.1");
        connector.setThrowOnFailure(true);
        connector.setPort(guest.port);
        connector.setProperty("address", guest.host);
        connector.setProperty("bindOnInit", "false"); // only such sockets can be closed before the connector ends
        connector.setProperty("minSpareThreads", "1");
        connector.setXpoweredBy(false);
        service.addConnector(connector); // it tells nothing about failures
        if (!connector.getState().isAvailable()) {
            throw new LifecycleException("cannot listen on " + guest.host + ":" + guest.port);
        }
    }

    @Override
    public String stop(double grace) throws Exception {
        String said = null;
        if (connector != null) {
            connector.getProtocolHandler().closeServerSocketGraceful();
            long until = System.nanoTime() + (long) (grace * 1e9);
            while (inProgress() > 0 && System.nanoTime() < until) {
                Thread.sleep(LOOK);
            }
            int left = inProgress();
            if (left > 0) {
                said = "it was ended with " + left + (left == 1 ? " request" : " requests") + " in progress";
            }
        }
        end();
        return said;
    }

    @Override
    public void kill() throws Exception {
        if (connector != null) {
            connector.getProtocolHandler().closeServerSocketGraceful();
            Executor executor = connector.getProtocolHandler().getExecutor();
            if (executor instanceof ExecutorService) {
                ((ExecutorService) executor).shutdownNow();
            }
            connector.setProperty("executorTerminationTimeoutMillis", "0");
        }
        context.setUnloadDelay(0);
        end();
    }

    /** Until their answers are written: threads count for longer than the application's own code takes. */
    private int inProgress() {
        int active = 0;
        Executor executor = connector.getProtocolHandler().getExecutor();
        if (executor instanceof ThreadPoolExecutor) {
            active = ((ThreadPoolExecutor) executor).getActiveCount() + ((ThreadPoolExecutor) executor).getQueue().size();
        } else if (executor instanceof org.apache.tomcat.util.threads.ThreadPoolExecutor) {
            org.apache.tomcat.util.threads.ThreadPoolExecutor pool = (org.apache.tomcat.util.threads.ThreadPoolExecutor) executor;
            active = pool.getActiveCount() + pool.getQueue().size();
        }
        return active + (int) context.getInProgressAsyncCount();
    }

    void end() throws Exception {
        try {
            service.stop();
            service.destroy();
        } finally {
            ExpandWar.delete(folder.toFile());
        }
    }

    @Override
    public Map<String, Object> usage() {
        Map<String, Object> usage = new LinkedHashMap<>();
        usage.put("requests", count.requests.sum());
        usage.put("errors", count.errors.sum());
        usage.put("busy", count.busy() + (int) context.getInProgressAsyncCount());
        usage.put("longest", count.longest());
        return usage;
    }
}
