import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.Phaser;

/**
 * Takes orders: {@code GET /} lists them as JSON, {@code POST /} with {@code sku=rye&quantity=2} adds one.
 *
 * <p>SIGTERM: requests in flight are answered, then it exits 0.
 */
public final class Orders {
    private static final int LARGEST_FORM = 10_000;
    private static final int MOST_AT_ONCE = 99;

    /** One party for us, one for each request in flight: when only we are left, nobody waits for an answer. */
    private final Phaser inFlight = new Phaser(1);
    private volatile boolean stopping;

    private final Book book;
    private final Catalog catalog;

    private Orders(Book book, Catalog catalog) {
        this.book = book;
        this.catalog = catalog;
    }

    public static void main(String[] args) throws IOException {
        System.setProperty("sun.net.httpserver.nodelay", "true"); // else each answer on a kept connection waits 40 ms
        System.setProperty("sun.net.httpserver.idleInterval", "75"); // seconds: longer than a gateway keeps one idle
        Map<String, String> env = System.getenv();
        var orders = new Orders(new Book(env.get("ORDERS_FILE")), new Catalog(env.get("CATALOG_URL")));
        String host = env.getOrDefault("HOST", "127.0.0.1");
        int port = Integer.parseInt(env.getOrDefault("PORT", "8080"));
        var server = HttpServer.create(new InetSocketAddress(InetAddress.getByName(host), port), 0);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/", orders::handle);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> orders.stop(server)));
        server.start();
        System.out.printf("orders: on http://%s:%d%n", host, port);
    }

    private void stop(HttpServer server) {
        stopping = true;
        inFlight.arriveAndAwaitAdvance();
        server.stop(0);
        Runtime.getRuntime().halt(0); // a JVM ended by SIGTERM would say 143
    }

    private void handle(HttpExchange exchange) throws IOException {
        inFlight.register();
        try (exchange) {
            if (stopping) {
                exchange.getResponseHeaders().set("Connection", "close");
            }
            String path = exchange.getRequestURI().getPath();
            String method = exchange.getRequestMethod();
            if (path.equals("/healthz")) {
                answer(exchange, 200, "\"ok\"");
            } else if (!path.equals("/")) {
                answer(exchange, 404, "{\"error\": \"not found\"}");
            } else if (method.equals("GET")) {
                answer(exchange, 200, book.json());
            } else if (method.equals("POST")) {
                order(exchange);
            } else {
                answer(exchange, 405, "{\"error\": \"GET or POST\"}");
            }
        } catch (IOException | RuntimeException error) {
            System.err.println("orders: " + exchange.getRequestMethod() + " failed: " + error);
            throw error;
        } finally {
            inFlight.arriveAndDeregister();
        }
    }

    private void order(HttpExchange exchange) throws IOException {
        Map<String, String> form = form(new String(exchange.getRequestBody().readNBytes(LARGEST_FORM), StandardCharsets.UTF_8));
        String sku = form.getOrDefault("sku", "");
        String quantity = form.getOrDefault("quantity", "1");
        if (!quantity.matches("[1-9][0-9]?") || !sku.matches("[a-z][a-z0-9-]*")) {
            answer(exchange, 422, "{\"error\": \"give sku, and a quantity from 1 to " + MOST_AT_ONCE + "\"}");
            return;
        }
        Catalog.Product product;
        try {
            product = catalog.find(sku);
        } catch (IOException | InterruptedException error) {
            System.err.println("orders: cannot ask the catalog: " + error);
            answer(exchange, 503, "{\"error\": \"the catalog does not answer\"}");
            return;
        }
        if (product == null) {
            answer(exchange, 422, "{\"error\": \"the shop does not have that\"}");
        } else {
            answer(exchange, 201, book.add(product, Integer.parseInt(quantity)));
        }
    }

    private static Map<String, String> form(String text) {
        var fields = new HashMap<String, String>();
        for (String pair : text.split("&")) {
            String[] parts = pair.split("=", 2);
            fields.put(URLDecoder.decode(parts[0], StandardCharsets.UTF_8),
                    parts.length < 2 ? "" : URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
        }
        return fields;
    }

    private static void answer(HttpExchange exchange, int status, String json) throws IOException {
        byte[] bytes = (json + "\n").getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        boolean head = exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(status, head ? -1 : bytes.length);
        if (!head) {
            exchange.getResponseBody().write(bytes);
        }
    }
}
