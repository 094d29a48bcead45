package fourfold.host;

import java.util.Map;

/** A request that cannot be done; its message is a sentence for people. */
final class Refused extends Exception {
    Refused(String message) {
        super(message);
    }

    static <T> T as(Class<T> type, Map<String, Object> request, String key) throws Refused {
        Object value = request.get(key);
        if (!type.isInstance(value)) {
            throw new Refused("cannot read the request: '" + key + "' is " + (value == null ? "missing" : "of another type"));
        }
        return type.cast(value);
    }

    static String text(Map<String, Object> request, String key) throws Refused {
        return as(String.class, request, key);
    }

    static Number number(Map<String, Object> request, String key) throws Refused {
        return as(Number.class, request, key);
    }
}
