package fourfold.host.tomcat;

import jakarta.servlet.ServletException;
import java.io.IOException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import org.apache.catalina.connector.Request;
import org.apache.catalina.connector.Response;
import org.apache.catalina.valves.ValveBase;

/** Counts requests, those that failed (5xx), and for how long those in progress have been. */
final class Count extends ValveBase {
    final LongAdder requests = new LongAdder();
    final LongAdder errors = new LongAdder();
    private final ConcurrentHashMap<Thread, Long> busy = new ConcurrentHashMap<>();

    Count() {
        super(true);
    }

    @Override
    public void invoke(Request request, Response response) throws IOException, ServletException {
        if (!request.isAsyncDispatching()) { // else it comes again, from AsyncContext.dispatch()
            requests.increment();
        }
        Thread thread = Thread.currentThread();
        busy.put(thread, System.nanoTime());
        try {
            getNext().invoke(request, response);
        } finally {
            busy.remove(thread);
            if (response.getStatus() >= 500) {
                errors.increment();
            }
        }
    }

    int busy() {
        return busy.size();
    }

    /** Seconds; 0 when nothing is in progress. */
    double longest() {
        long now = System.nanoTime();
        long longest = 0;
        for (long since : busy.values()) {
            longest = Math.max(longest, now - since);
        }
        return longest / 1e9;
    }
}
