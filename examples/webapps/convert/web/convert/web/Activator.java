package convert.web;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import convert.core.Converter;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.osgi.framework.BundleActivator;
import org.osgi.framework.BundleContext;
import org.osgi.util.tracker.ServiceTracker;

/** Serves GET /convert/100/USD, by the Converter of the bundle beside it. */
public final class Activator implements BundleActivator {
    private ExecutorService threads;
    private HttpServer server;
    private ServiceTracker<Converter, Converter> converter;

    @Override
    @SuppressWarnings("unchecked")
    public void start(BundleContext context) throws Exception {
        Map<String, String> env = (Map<String, String>) context.getService(
                context.getServiceReferences(Map.class, "(name=fourfold.env)").iterator().next());
        converter = new ServiceTracker<>(context, Converter.class, null);
        converter.open();
        threads = Executors.newFixedThreadPool(4);
        server = HttpServer.create(new InetSocketAddress(env.get("HOST"), Integer.parseInt(env.get("PORT"))), 128);
        server.setExecutor(threads);
        server.createContext("/", this::answer);
        server.start();
    }

    private void answer(HttpExchange exchange) throws IOException {
        String[] parts = exchange.getRequestURI().getPath().split("/");
        int status = 200;
        String text;
        try {
            if (parts.length > 0 && parts[parts.length - 1].equals("healthz")) {
                text = "ok";
            } else {
                double amount = Double.parseDouble(parts[parts.length - 2]);
                text = String.format(Locale.ROOT, "%.2f EUR", converter.getService().euros(amount, parts[parts.length - 1]));
            }
        } catch (IllegalArgumentException | ArrayIndexOutOfBoundsException error) {
            status = 400;
            text = "ask for /convert/AMOUNT/CURRENCY: " + error.getMessage();
        } catch (Exception error) { // rates cannot be reached
            status = 502;
            text = String.valueOf(error);
        }
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "text/plain");
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    @Override
    public void stop(BundleContext context) throws InterruptedException {
        threads.shutdown();
        threads.awaitTermination(5, TimeUnit.SECONDS); // what is in progress; server.stop(5) takes them even when idle
        server.stop(0);
        converter.close();
    }
}
