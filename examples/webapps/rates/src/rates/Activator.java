package rates;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.osgi.framework.BundleActivator;
import org.osgi.framework.BundleContext;

/** Serves exchange rates to the euro: GET /rates/USD. */
public final class Activator implements BundleActivator {
    private static final Map<String, Double> RATES = Map.of("USD", 1.08, "KRW", 1471.0, "CHF", 0.96, "SEK", 11.4);
    private ExecutorService threads;
    private HttpServer server;

    @Override
    public void start(BundleContext context) throws Exception {
        Map<String, String> env = environment(context);
        threads = Executors.newFixedThreadPool(4);
        server = HttpServer.create(new InetSocketAddress(env.get("HOST"), Integer.parseInt(env.get("PORT"))), 128);
        server.setExecutor(threads);
        server.createContext("/", this::answer);
        server.start();
        System.out.println("rates: at " + server.getAddress());
    }

    /** What `env` and `secrets` say in fourfold.yaml, and HOST and PORT: a Map, one for each service. */
    @SuppressWarnings("unchecked")
    private static Map<String, String> environment(BundleContext context) throws Exception {
        return (Map<String, String>) context.getService(
                context.getServiceReferences(Map.class, "(name=fourfold.env)").iterator().next());
    }

    private void answer(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        String currency = path.substring(path.lastIndexOf('/') + 1);
        Double rate = RATES.get(currency);
        boolean healthy = path.endsWith("/healthz");
        byte[] body = (healthy ? "ok" : rate == null ? "no such currency" : rate.toString()).getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "text/plain");
        exchange.sendResponseHeaders(healthy || rate != null ? 200 : 404, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    @Override
    public void stop(BundleContext context) throws InterruptedException {
        threads.shutdown();
        threads.awaitTermination(5, TimeUnit.SECONDS); // what is in progress; server.stop(5) takes them even when idle
        server.stop(0);
    }
}
