package fourfold.lambda;

import java.lang.reflect.Array;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

/** JSON (RFC 8259) to and from Map, List, String, Boolean, Integer, Long, BigInteger, Double and null. */
final class Json {
    private static final int DEEPEST = 512;
    /** What makes values that are none of these such values, when something is written. */
    static UnaryOperator<Object> simple = UnaryOperator.identity();
    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    static final class Malformed extends RuntimeException {
        Malformed(String message) {
            super(message);
        }
    }

    static Object read(String text) {
        Json json = new Json(text);
        json.blanks();
        Object value = json.value();
        json.blanks();
        if (json.at < text.length()) {
            throw json.bad("more than one value");
        }
        return value;
    }

    private Malformed bad(String why) {
        return new Malformed("malformed JSON at " + at + ": " + why);
    }

    private void blanks() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        if (at >= text.length()) {
            throw bad("it ends early");
        }
        return text.charAt(at);
    }

    private Object value() {
        switch (peek()) {
            case '{':
                return object();
            case '[':
                return array();
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw bad("no value");
        }
        at += word.length();
        return value;
    }

    private void enter() {
        if (++depth > DEEPEST) {
            throw bad("nested too deeply");
        }
        at++;
        blanks();
    }

    /** Whether another one follows; the closing mark is taken. */
    private boolean more(char end) {
        blanks();
        char next = peek();
        at++;
        if (next == end) {
            depth--;
            return false;
        }
        if (next != ',') {
            throw bad("no comma");
        }
        blanks();
        return true;
    }

    private Map<String, Object> object() {
        Map<String, Object> map = new LinkedHashMap<>();
        enter();
        if (peek() == '}') {
            at++;
            depth--;
            return map;
        }
        do {
            if (peek() != '"') {
                throw bad("a key is no string");
            }
            String key = string();
            blanks();
            if (peek() != ':') {
                throw bad("no colon");
            }
            at++;
            blanks();
            map.put(key, value());
        } while (more('}'));
        return map;
    }

    private List<Object> array() {
        List<Object> list = new ArrayList<>();
        enter();
        if (peek() == ']') {
            at++;
            depth--;
            return list;
        }
        do {
            list.add(value());
        } while (more(']'));
        return list;
    }

    private String string() {
        StringBuilder made = new StringBuilder();
        at++;
        for (;;) {
            int start = at;
            while (peek() != '"' && peek() != '\\') {
                at++;
            }
            made.append(text, start, at);
            if (text.charAt(at++) == '"') {
                return made.toString();
            }
            char escape = peek();
            at++;
            int plain = "\"\\/bfnrt".indexOf(escape);
            if (plain >= 0) {
                made.append("\"\\/\b\f\n\r\t".charAt(plain));
            } else if (escape == 'u' && at + 4 <= text.length()) {
                made.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                at += 4;
            } else {
                throw bad("an unknown escape");
            }
        }
    }

    private Object number() {
        int start = at;
        boolean whole = true;
        while (at < text.length() && "+-0123456789.eE".indexOf(text.charAt(at)) >= 0) {
            whole &= ".eE".indexOf(text.charAt(at)) < 0;
            at++;
        }
        String digits = text.substring(start, at);
        try {
            if (!whole) {
                return Double.valueOf(digits);
            }
            if (digits.length() > 18) {
                return new java.math.BigInteger(digits);
            }
            long number = Long.parseLong(digits);
            return number == (int) number ? (Object) (int) number : (Object) number;
        } catch (NumberFormatException error) {
            throw bad("no value");
        }
    }

    static String write(Object value) {
        StringBuilder out = new StringBuilder(256);
        write(value, out, 0);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out, int depth) {
        if (depth > DEEPEST) {
            throw new Malformed("the result is nested too deeply, or holds itself");
        }
        Object plain = simple.apply(value);
        if (plain == null || plain instanceof Boolean) {
            out.append(plain);
        } else if (plain instanceof Number) {
            double number = ((Number) plain).doubleValue();
            boolean odd = plain instanceof Double || plain instanceof Float;
            out.append(odd && (Double.isNaN(number) || Double.isInfinite(number)) ? "null" : plain.toString());
        } else if (plain instanceof Map) {
            char before = '{';
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) plain).entrySet()) {
                out.append(before);
                quote(String.valueOf(entry.getKey()), out);
                write(entry.getValue(), out.append(':'), depth + 1);
                before = ',';
            }
            out.append(before == '{' ? "{}" : "}");
        } else if (plain instanceof Iterable) {
            char before = '[';
            for (Object each : (Iterable<?>) plain) {
                write(each, out.append(before), depth + 1);
                before = ',';
            }
            out.append(before == '[' ? "[]" : "]");
        } else if (plain.getClass().isArray()) {
            int length = Array.getLength(plain);
            out.append('[');
            for (int place = 0; place < length; place++) {
                write(Array.get(plain, place), place > 0 ? out.append(',') : out, depth + 1);
            }
            out.append(']');
        } else {
            quote(plain.toString(), out);
        }
    }

    private static void quote(String text, StringBuilder out) {
        out.append('"');
        for (int place = 0; place < text.length(); place++) {
            char each = text.charAt(place);
            int plain = "\"\\\b\f\n\r\t".indexOf(each);
            if (plain >= 0) {
                out.append('\\').append("\"\\bfnrt".charAt(plain));
            } else if (each < 0x20 || Character.isSurrogate(each) || each == '\u2028' || each == '\u2029') {
                out.append("\\u");
                String hex = Integer.toHexString(each);
                out.append("0000", 0, 4 - hex.length()).append(hex);
            } else {
                out.append(each);
            }
        }
        out.append('"');
    }
}
