package trial;

import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.osgi.framework.BundleActivator;
import org.osgi.framework.BundleContext;
import org.osgi.framework.ServiceReference;

/** Does what the headers of its bundle say, so that one class is for all trials. */
public final class Activator implements BundleActivator {
    private HttpServer server;
    private String todo;

    @Override
    @SuppressWarnings("unchecked")
    public void start(BundleContext context) throws Exception {
        todo = String.valueOf(context.getBundle().getHeaders().get("Trial-Do"));
        String version = context.getBundle().getHeaders().get("Trial-Version");
        Map<String, String> env = (Map<String, String>) context.getService(
                context.getServiceReferences(Map.class, "(name=fourfold.env)").iterator().next());
        System.out.println("start " + version + " " + todo);
        if (todo.contains("throw")) {
            throw new IllegalStateException("no database", new java.io.IOException("nobody listens"));
        }
        if (todo.contains("mute")) {
            throw new IllegalStateException() {
                @Override
                public String getMessage() {
                    throw new UnsupportedOperationException();
                }
            };
        }
        if (todo.contains("hang-start")) {
            Thread.sleep(3_600_000);
        }
        if (todo.contains("leak")) {
            new Thread(() -> {
                for (;;) {
                    LockSupport.parkNanos(Long.MAX_VALUE);
                    Thread.interrupted();
                }
            }, "left behind").start();
        }
        if (todo.contains("daemon")) {
            Thread thread = new Thread(LockSupport::park, "idle");
            thread.setDaemon(true);
            thread.start();
        }
        if (todo.contains("offer")) {
            context.registerService(CharSequence.class, "offered by " + version, null);
        }
        if (todo.contains("serve")) {
            server = HttpServer.create(new InetSocketAddress(env.get("HOST"), Integer.parseInt(env.get("PORT"))), 16);
            server.createContext("/", exchange -> {
                StringBuilder text = new StringBuilder(version);
                text.append("\n").append(env.get("COLOUR")).append("\n");
                text.append(trial.api.Shared.count()).append("\n");
                text.append(context.getBundles().length).append("\n");
                try {
                    for (ServiceReference<CharSequence> each : context.getServiceReferences(CharSequence.class, null)) {
                        text.append(context.getService(each)).append("\n");
                    }
                } catch (Exception error) {
                    text.append(error);
                }
                long until = System.nanoTime() + Long.parseLong("0" + exchange.getRequestURI().getPath().substring(1)) * 1_000_000;
                while (System.nanoTime() < until) {
                    Thread.onSpinWait();
                }
                System.out.println("asked " + version);
                byte[] body = text.toString().getBytes(StandardCharsets.UTF_8);
                exchange.sendResponseHeaders(200, body.length);
                exchange.getResponseBody().write(body);
                exchange.close();
            });
            server.start();
        }
    }

    @Override
    public void stop(BundleContext context) throws Exception {
        System.out.println("stop");
        if (server != null) {
            server.stop(0);
        }
        if (todo.contains("hang-stop")) {
            Thread.sleep(3_600_000);
        }
    }
}
