package fourfold.lambda;

import java.io.IOException;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Client of the AWS Lambda Runtime API (2018-06-01) for Java 11 or later: asks for events, calls the handler, answers.
 *
 * With FOURFOLD_TRIAL it ends once all is loaded that a first event needs, for the archive of classes.
 */
public final class Client {
    private static final String CONTEXT = "com.amazonaws.services.lambda.runtime.Context";
    private static final String JSON = "Content-Type: application/json\r\n";

    public static void main(String[] arguments) throws Exception {
        Json.simple = Binder::plain;
        String handler = System.getenv().getOrDefault("_HANDLER", arguments.length > 0 ? arguments[0] : "");
        if (System.getenv("FOURFOLD_TRIAL") != null) {
            trial(handler);
            return;
        }
        Wire wire = new Wire(System.getenv("AWS_LAMBDA_RUNTIME_API"));
        Handlers found;
        try {
            found = Handlers.find(handler);
        } catch (Throwable error) {
            error.printStackTrace();
            fail(wire, "/init/error", error);
            System.exit(1);
            return;
        }
        Class<?> type = optional(CONTEXT);
        for (;;) {
            Wire.Answer next = wire.get("/invocation/next");
            if (next.status != 200) {
                throw new IOException("the Runtime API answered " + next.status);
            }
            String place = "/invocation/" + next.headers.get("lambda-runtime-aws-request-id");
            String trace = next.headers.get("lambda-runtime-trace-id");
            if (trace != null) {
                System.setProperty("com.amazonaws.xray.traceHeader", trace);
            }
            byte[] result;
            try {
                result = found.call(next.body, type == null ? null : context(type, next.headers));
            } catch (Throwable error) {
                error.printStackTrace();
                fail(wire, place + "/error", error);
                if (error instanceof VirtualMachineError) { // nothing can be relied on after that
                    System.exit(1);
                }
                continue;
            }
            System.out.flush();
            wire.post(place + "/response", JSON, result);
        }
    }

    private static void trial(String handler) {
        new Wire("127.0.0.1:1");
        Json.write(Json.read("{\"a\": [1, 2.5, true, null, \"b\\n\"]}"));
        try {
            new Wire("127.0.0.1:1").get("/invocation/next");
        } catch (IOException expected) {
            Json.write(describe(expected));
        }
        try {
            Handlers.find(handler);
            Class<?> type = optional(CONTEXT);
            if (type != null) {
                context(type, new LinkedHashMap<>()).toString();
            }
        } catch (Throwable error) {
            System.err.println("the handler cannot be loaded without an event: " + error);
        }
    }

    private static void fail(Wire wire, String place, Throwable error) throws IOException {
        Map<String, Object> told = describe(error);
        String kind = String.valueOf(told.get("errorType")).replaceAll("[\r\n]", " ");
        byte[] body = Json.write(told).getBytes(StandardCharsets.UTF_8);
        wire.post(place, JSON + "Lambda-Runtime-Function-Error-Type: " + kind + "\r\n", body);
    }

    private static Map<String, Object> describe(Throwable error) {
        Map<String, Object> told = new LinkedHashMap<>();
        boolean missing = error instanceof Handlers.Missing;
        told.put("errorMessage", error.getMessage());
        told.put("errorType", missing ? ((Handlers.Missing) error).kind : error.getClass().getName());
        List<String> trace = new ArrayList<>();
        for (StackTraceElement each : error.getStackTrace()) {
            if (each.getClassName().startsWith("fourfold.lambda.")) {
                break;
            }
            trace.add(each.toString());
        }
        told.put("stackTrace", trace);
        if (error.getCause() != null && error.getCause() != error) {
            told.put("cause", describe(error.getCause()));
        }
        return told;
    }

    private static Class<?> optional(String name) {
        try {
            return Class.forName(name);
        } catch (ClassNotFoundException error) {
            return null;
        }
    }

    /** Something that implements aws-lambda-java-core's Context, and its parts, whatever version that is of. */
    private static Object context(Class<?> type, Map<String, String> headers) {
        long deadline = Long.parseLong(headers.getOrDefault("lambda-runtime-deadline-ms", "0"));
        Map<String, String> environment = System.getenv();
        InvocationHandler answers = (proxy, method, arguments) -> {
            switch (method.getName()) {
                case "getAwsRequestId":
                    return headers.get("lambda-runtime-aws-request-id");
                case "getInvokedFunctionArn":
                    return headers.get("lambda-runtime-invoked-function-arn");
                case "getRemainingTimeInMillis":
                    return (int) Math.max(0, deadline - System.currentTimeMillis());
                case "getFunctionName":
                    return environment.get("AWS_LAMBDA_FUNCTION_NAME");
                case "getFunctionVersion":
                    return environment.get("AWS_LAMBDA_FUNCTION_VERSION");
                case "getMemoryLimitInMB":
                    return Integer.valueOf(environment.getOrDefault("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"));
                case "getLogGroupName":
                    return environment.get("AWS_LAMBDA_LOG_GROUP_NAME");
                case "getLogStreamName":
                    return environment.get("AWS_LAMBDA_LOG_STREAM_NAME");
                case "getLogger":
                    return logger(method.getReturnType());
                case "getClientContext":
                    return clientContext(method.getReturnType(), headers.get("lambda-runtime-client-context"));
                default:
                    return common(proxy, method, arguments);
            }
        };
        return proxy(type, answers);
    }

    private static Object logger(Class<?> type) {
        return proxy(type, (proxy, method, arguments) -> {
            if (!method.getName().equals("log")) {
                return common(proxy, method, arguments);
            }
            Object message = arguments[0];
            byte[] line = message instanceof byte[] ? (byte[]) message : String.valueOf(message).getBytes(StandardCharsets.UTF_8);
            synchronized (System.out) {
                System.out.write(line, 0, line.length);
                System.out.println();
                System.out.flush();
            }
            return null;
        });
    }

    private static Object clientContext(Class<?> type, String json) {
        Object read = json == null ? null : Json.read(json);
        if (!(read instanceof Map)) {
            return null;
        }
        Map<?, ?> given = (Map<?, ?>) read;
        return proxy(type, (proxy, method, arguments) -> {
            switch (method.getName()) {
                case "getCustom":
                    return given.get("custom");
                case "getEnvironment":
                    return given.get("env");
                default:
                    return common(proxy, method, arguments);
            }
        });
    }

    private static Object proxy(Class<?> type, InvocationHandler answers) {
        return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, answers);
    }

    private static Object common(Object proxy, Method method, Object[] arguments) {
        switch (method.getName()) {
            case "toString":
                return method.getDeclaringClass().getSimpleName() + " of an event";
            case "hashCode":
                return System.identityHashCode(proxy);
            case "equals":
                return proxy == arguments[0];
            default:
                return method.getReturnType().isPrimitive() && method.getReturnType() != void.class ? 0 : null;
        }
    }
}
