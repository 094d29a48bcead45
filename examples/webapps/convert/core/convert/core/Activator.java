package convert.core;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Map;
import org.osgi.framework.BundleActivator;
import org.osgi.framework.BundleContext;

/** Asks the service `rates`, by the URL that `depends_on` gives. */
public final class Activator implements BundleActivator {
    private final HttpClient client = HttpClient.newHttpClient();
    private String rates;

    @Override
    @SuppressWarnings("unchecked")
    public void start(BundleContext context) throws Exception {
        Map<String, String> env = (Map<String, String>) context.getService(
                context.getServiceReferences(Map.class, "(name=fourfold.env)").iterator().next());
        rates = env.get("RATES_URL");
        context.registerService(Converter.class, this::euros, null);
    }

    private double euros(double amount, String currency) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(rates + "/rates/" + currency)).build();
        HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            throw new IllegalArgumentException(answer.body());
        }
        return amount / Double.parseDouble(answer.body());
    }

    @Override
    public void stop(BundleContext context) {}
}
