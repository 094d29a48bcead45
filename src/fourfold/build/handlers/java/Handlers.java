package fourfold.lambda;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.nio.charset.StandardCharsets;

/** `package.Class::method`, or `package.Class` with `handleRequest`, as something to give events to. */
final class Handlers {
    private static final String CONTEXT = "com.amazonaws.services.lambda.runtime.Context";
    private final Method method;
    private final Object target;

    private Handlers(Method method, Object target) {
        this.method = method;
        this.target = target;
    }

    /** What the caller is told: its kind as AWS names it. */
    static final class Missing extends Exception {
        final String kind;

        Missing(String kind, String message) {
            super(message);
            this.kind = kind;
        }
    }

    static Handlers find(String handler) throws Throwable {
        int colons = handler.indexOf("::");
        String name = colons < 0 ? handler : handler.substring(0, colons);
        String wanted = colons < 0 ? "handleRequest" : handler.substring(colons + 2);
        Class<?> type;
        try {
            type = Class.forName(name, true, Thread.currentThread().getContextClassLoader());
        } catch (ClassNotFoundException error) {
            throw new Missing("java.lang.ClassNotFoundException", "Class not found: " + name);
        }
        Method found = choose(type, wanted);
        if (found == null) {
            throw new Missing("java.lang.NoSuchMethodException",
                "No public method named " + wanted + " with appropriate method signature found on class " + name);
        }
        found.setAccessible(true);
        if (Modifier.isStatic(found.getModifiers())) {
            return new Handlers(found, null);
        }
        try {
            Constructor<?> constructor = type.getDeclaredConstructor();
            constructor.setAccessible(true);
            return new Handlers(found, constructor.newInstance());
        } catch (NoSuchMethodException | InstantiationException error) {
            throw new Missing("java.lang.NoSuchMethodException", "Class " + name + " has no public zero-argument constructor");
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
    }

    /** Of several, the one with most parameters; of as many, the one that takes a Context last. */
    private static Method choose(Class<?> type, String name) {
        Method best = null;
        for (Method each : type.getMethods()) {
            boolean fits = each.getName().equals(name) && !each.isBridge() && !Modifier.isAbstract(each.getModifiers());
            if (fits && rank(each) > (best == null ? -1 : rank(best))) {
                best = each;
            }
        }
        return best;
    }

    private static int rank(Method method) {
        Class<?>[] types = method.getParameterTypes();
        boolean last = types.length > 0 && isContext(types[types.length - 1]);
        boolean streams = types.length > 1 && types[0] == InputStream.class && types[1] == OutputStream.class;
        int most = streams ? 3 : 2;
        if (types.length > most || (types.length == most && !last)) {
            return -1;
        }
        return types.length * 2 + (last ? 1 : 0);
    }

    private static boolean isContext(Class<?> type) {
        return type.getName().equals(CONTEXT);
    }

    /** -> what it returned, as JSON, or the bytes that it wrote. */
    byte[] call(byte[] event, Object context) throws Throwable {
        Type[] types = method.getGenericParameterTypes();
        Class<?>[] classes = method.getParameterTypes();
        Object[] arguments = new Object[types.length];
        ByteArrayOutputStream written = null;
        for (int place = 0; place < types.length; place++) {
            if (isContext(classes[place])) {
                arguments[place] = context;
            } else if (classes[place] == InputStream.class) {
                arguments[place] = new ByteArrayInputStream(event);
            } else if (classes[place] == OutputStream.class) {
                arguments[place] = written = new ByteArrayOutputStream();
            } else {
                Type type = types[place] instanceof TypeVariable ? Object.class : types[place];
                arguments[place] = Binder.bind(Json.read(new String(event, StandardCharsets.UTF_8)), type);
            }
        }
        Object result;
        try {
            result = method.invoke(target, arguments);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
        return written != null ? written.toByteArray() : Json.write(result).getBytes(StandardCharsets.UTF_8);
    }
}
