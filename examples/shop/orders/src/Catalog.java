import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The catalog service, asked over HTTP. */
final class Catalog {
    /** A product as the catalog tells it; the price in cents. */
    record Product(String sku, String name, int price) {}

    private static final Duration PATIENCE = Duration.ofSeconds(2);
    private static final Pattern NAME = Pattern.compile("\"name\":\\s*\"([^\"\\\\]*)\"");
    private static final Pattern PRICE = Pattern.compile("\"price\":\\s*(\\d{1,7})\\b");

    private final String url;
    private final HttpClient client =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(PATIENCE).build();

    Catalog(String url) {
        this.url = url;
    }

    /** The product, or null if the catalog has none of that name. */
    Product find(String sku) throws IOException, InterruptedException {
        if (url == null) {
            throw new IOException("CATALOG_URL is not set");
        }
        var request = HttpRequest.newBuilder(URI.create(url + "/products/" + sku)).timeout(PATIENCE).build();
        HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() == 404) {
            return null;
        }
        Matcher name = NAME.matcher(answer.body());
        Matcher price = PRICE.matcher(answer.body());
        if (answer.statusCode() != 200 || !name.find() || !price.find()) {
            throw new IOException("status " + answer.statusCode() + ": " + answer.body().strip());
        }
        return new Product(sku, name.group(1), Integer.parseInt(price.group(1)));
    }
}
