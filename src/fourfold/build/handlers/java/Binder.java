package fourfold.lambda;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Between JSON values and the types of a handler: properties by setters, fields or records, whatever their case. */
final class Binder {
    static Object bind(Object value, Type type) throws ReflectiveOperationException {
        if (type instanceof ParameterizedType) {
            ParameterizedType made = (ParameterizedType) type;
            return bind(value, (Class<?>) made.getRawType(), made.getActualTypeArguments(), made);
        }
        if (type instanceof GenericArrayType) {
            return array(value, ((GenericArrayType) type).getGenericComponentType(), Object.class);
        }
        if (type instanceof WildcardType) {
            return bind(value, ((WildcardType) type).getUpperBounds()[0]);
        }
        return type instanceof Class ? bind(value, (Class<?>) type, new Type[0], null) : value;
    }

    private static Object bind(Object value, Class<?> type, Type[] arguments, ParameterizedType whole)
        throws ReflectiveOperationException {
        if (value == null) {
            return type == Optional.class ? Optional.empty() : type.isPrimitive() ? zero(type) : null;
        }
        if (type == Object.class || type == Void.class) {
            return value;
        }
        if (type == String.class || type == CharSequence.class) {
            return value instanceof Map || value instanceof List ? Json.write(value) : String.valueOf(value);
        }
        if (type.isPrimitive() || Number.class.isAssignableFrom(type) || type == Boolean.class || type == Character.class) {
            return scalar(value, type);
        }
        if (type.isEnum()) {
            return constant(value, type);
        }
        if (type.isArray()) {
            return value instanceof String && type == byte[].class ? Base64.getDecoder().decode((String) value)
                : array(value, type.getComponentType(), type.getComponentType());
        }
        if (Map.class.isAssignableFrom(type) && value instanceof Map) {
            return map((Map<?, ?>) value, type, arguments.length == 2 ? arguments[1] : Object.class,
                arguments.length == 2 ? arguments[0] : Object.class);
        }
        if (Collection.class.isAssignableFrom(type) || type == Iterable.class) {
            return collection(value, type, arguments.length == 1 ? arguments[0] : Object.class);
        }
        if (type == Optional.class) {
            return Optional.of(bind(value, arguments.length == 1 ? arguments[0] : Object.class));
        }
        if (value instanceof Map) {
            return bean((Map<?, ?>) value, type, whole);
        }
        return parsed(value, type);
    }

    private static Object zero(Class<?> type) {
        return Array.get(Array.newInstance(type, 1), 0);
    }

    private static Object scalar(Object value, Class<?> type) {
        if (type == boolean.class || type == Boolean.class) {
            return value instanceof Boolean ? value : Boolean.valueOf(String.valueOf(value));
        }
        if (type == char.class || type == Character.class) {
            return String.valueOf(value).charAt(0);
        }
        BigDecimal number = new BigDecimal(String.valueOf(value));
        if (type == int.class || type == Integer.class) {
            return number.intValue();
        }
        if (type == long.class || type == Long.class) {
            return number.longValue();
        }
        if (type == double.class || type == Double.class) {
            return number.doubleValue();
        }
        if (type == float.class || type == Float.class) {
            return number.floatValue();
        }
        if (type == short.class || type == Short.class) {
            return number.shortValue();
        }
        if (type == byte.class || type == Byte.class) {
            return number.byteValue();
        }
        return type == BigInteger.class ? (Object) number.toBigInteger() : type == BigDecimal.class ? number : value;
    }

    private static Object constant(Object value, Class<?> type) {
        for (Object each : type.getEnumConstants()) {
            if (((Enum<?>) each).name().equalsIgnoreCase(String.valueOf(value)) || each.toString().equals(value)) {
                return each;
            }
        }
        throw new IllegalArgumentException(value + " is none of " + type.getName());
    }

    private static Object array(Object value, Type element, Class<?> kind) throws ReflectiveOperationException {
        List<?> list = list(value);
        Object made = Array.newInstance(kind, list.size());
        for (int place = 0; place < list.size(); place++) {
            Array.set(made, place, bind(list.get(place), element));
        }
        return made;
    }

    private static List<?> list(Object value) {
        if (!(value instanceof List)) {
            throw new IllegalArgumentException("expected a list, got " + Json.write(value));
        }
        return (List<?>) value;
    }

    @SuppressWarnings("unchecked")
    private static Object map(Map<?, ?> value, Class<?> type, Type element, Type key) throws ReflectiveOperationException {
        boolean own = !type.isInterface() && !Modifier.isAbstract(type.getModifiers());
        Map<Object, Object> made = own ? (Map<Object, Object>) create(type) : new LinkedHashMap<>();
        for (Map.Entry<?, ?> entry : value.entrySet()) {
            made.put(bind(entry.getKey(), key), bind(entry.getValue(), element));
        }
        return made;
    }

    @SuppressWarnings("unchecked")
    private static Object collection(Object value, Class<?> type, Type element) throws ReflectiveOperationException {
        boolean own = !type.isInterface() && !Modifier.isAbstract(type.getModifiers());
        Collection<Object> made = own ? (Collection<Object>) create(type)
            : Set.class.isAssignableFrom(type) ? new LinkedHashSet<>() : new ArrayList<>();
        for (Object each : list(value)) {
            made.add(bind(each, element));
        }
        return made;
    }

    private static Object create(Class<?> type) throws ReflectiveOperationException {
        Constructor<?> constructor = type.getDeclaredConstructor();
        constructor.setAccessible(true);
        return constructor.newInstance();
    }

    /** An instance with its properties set; those that it does not have are left out. */
    private static Object bean(Map<?, ?> value, Class<?> type, ParameterizedType whole) throws ReflectiveOperationException {
        Map<String, Object> given = new HashMap<>();
        value.forEach((name, each) -> given.put(String.valueOf(name).toLowerCase(Locale.ROOT), each));
        Map<TypeVariable<?>, Type> variables = new HashMap<>();
        for (int place = 0; whole != null && place < type.getTypeParameters().length; place++) {
            variables.put(type.getTypeParameters()[place], whole.getActualTypeArguments()[place]);
        }
        if (type.getSuperclass() != null && type.getSuperclass().getName().equals("java.lang.Record")) {
            return record(given, type, variables);
        }
        Object made = create(type);
        Set<String> done = new LinkedHashSet<>();
        for (Method method : type.getMethods()) {
            String name = method.getName();
            if (name.length() > 3 && name.startsWith("set") && method.getParameterCount() == 1) {
                String key = name.substring(3).toLowerCase(Locale.ROOT);
                if (given.containsKey(key) && !method.isBridge() && done.add(key)) {
                    method.setAccessible(true);
                    method.invoke(made, bind(given.get(key), known(method.getGenericParameterTypes()[0], variables)));
                }
            }
        }
        for (Class<?> each = type; each != null && each != Object.class; each = each.getSuperclass()) {
            for (Field field : each.getDeclaredFields()) {
                String key = field.getName().toLowerCase(Locale.ROOT);
                boolean fixed = Modifier.isStatic(field.getModifiers()) || Modifier.isFinal(field.getModifiers());
                if (!fixed && given.containsKey(key) && done.add(key) && !each.getName().startsWith("java.")) {
                    field.setAccessible(true);
                    field.set(made, bind(given.get(key), known(field.getGenericType(), variables)));
                }
            }
        }
        return made;
    }

    private static Type known(Type type, Map<TypeVariable<?>, Type> variables) {
        return type instanceof TypeVariable ? variables.getOrDefault(type, Object.class) : type;
    }

    /** By its canonical constructor; records are newer than what this is compiled for. */
    private static Object record(Map<String, Object> given, Class<?> type, Map<TypeVariable<?>, Type> variables)
        throws ReflectiveOperationException {
        Object[] components = (Object[]) Class.class.getMethod("getRecordComponents").invoke(type);
        Class<?>[] types = new Class<?>[components.length];
        Object[] values = new Object[components.length];
        for (int place = 0; place < components.length; place++) {
            Class<?> kind = components[place].getClass();
            types[place] = (Class<?>) kind.getMethod("getType").invoke(components[place]);
            Type generic = (Type) kind.getMethod("getGenericType").invoke(components[place]);
            String name = (String) kind.getMethod("getName").invoke(components[place]);
            Object value = given.get(name.toLowerCase(Locale.ROOT));
            values[place] = value == null && types[place].isPrimitive() ? zero(types[place])
                : bind(value, known(generic, variables));
        }
        Constructor<?> constructor = type.getDeclaredConstructor(types);
        constructor.setAccessible(true);
        return constructor.newInstance(values);
    }

    /** Dates, buffers, and whatever is made from a text: `parse(CharSequence)`, `valueOf`, `fromString`, a constructor. */
    private static Object parsed(Object value, Class<?> type) throws ReflectiveOperationException {
        if (type.isInstance(value)) {
            return value;
        }
        if (type == ByteBuffer.class) {
            return ByteBuffer.wrap(Base64.getDecoder().decode(String.valueOf(value)));
        }
        if (Date.class.isAssignableFrom(type) && value instanceof Number) {
            double number = ((Number) value).doubleValue();
            return new Date((long) (number < 1e11 ? number * 1000 : number)); // AWS's events count seconds
        }
        String text = String.valueOf(value);
        if (type == Date.class) {
            return Date.from(java.time.Instant.parse(text));
        }
        for (String name : new String[] {"parse", "fromString", "valueOf"}) {
            for (Class<?> argument : new Class<?>[] {CharSequence.class, String.class}) {
                try {
                    Method method = type.getMethod(name, argument);
                    if (Modifier.isStatic(method.getModifiers())) {
                        return method.invoke(null, text);
                    }
                } catch (NoSuchMethodException error) {
                    continue;
                }
            }
        }
        for (Class<?> argument : new Class<?>[] {String.class, Object.class}) {
            try {
                return type.getConstructor(argument).newInstance(text);
            } catch (NoSuchMethodException error) {
                continue;
            }
        }
        throw new IllegalArgumentException("cannot make " + type.getName() + " of " + Json.write(value));
    }

    /** What `Json.write` knows, of anything: beans become maps of what their getters or public fields give. */
    static Object plain(Object value) {
        if (value == null || value instanceof Boolean || value instanceof Number || value instanceof CharSequence
            || value instanceof Map || value instanceof Iterable || value instanceof Character) {
            return value;
        }
        if (value instanceof byte[]) {
            return Base64.getEncoder().encodeToString((byte[]) value);
        }
        if (value instanceof ByteBuffer) {
            ByteBuffer copy = ((ByteBuffer) value).duplicate();
            byte[] data = new byte[copy.remaining()];
            copy.get(data);
            return Base64.getEncoder().encodeToString(data);
        }
        if (value instanceof Optional) {
            return plain(((Optional<?>) value).orElse(null));
        }
        if (value instanceof Date) {
            return ((Date) value).getTime();
        }
        if (value.getClass().isArray() || value instanceof Enum) {
            return value instanceof Enum ? ((Enum<?>) value).name() : value;
        }
        String name = value.getClass().getName();
        if (name.startsWith("java.") || name.startsWith("org.joda.")) {
            return value.toString();
        }
        return properties(value);
    }

    private static Map<String, Object> properties(Object value) {
        Map<String, Object> made = new LinkedHashMap<>();
        Class<?> type = value.getClass();
        boolean record = type.getSuperclass() != null && type.getSuperclass().getName().equals("java.lang.Record");
        try {
            for (Class<?> each = type; each != null && each != Object.class; each = each.getSuperclass()) {
                for (Field field : each.getDeclaredFields()) {
                    boolean shown = !Modifier.isStatic(field.getModifiers()) && !Modifier.isTransient(field.getModifiers());
                    Method getter = shown ? getter(type, field) : null;
                    if (getter != null) {
                        getter.setAccessible(true);
                        made.putIfAbsent(field.getName(), getter.invoke(value));
                    } else if (shown && (record || Modifier.isPublic(field.getModifiers()))) {
                        field.setAccessible(true);
                        made.putIfAbsent(field.getName(), field.get(value));
                    }
                }
            }
            for (Method method : type.getMethods()) {
                String name = method.getName();
                boolean gets = method.getParameterCount() == 0 && !Modifier.isStatic(method.getModifiers())
                    && name.startsWith("get") && name.length() > 3 && !name.equals("getClass") && !method.isBridge();
                String key = gets ? Character.toLowerCase(name.charAt(3)) + name.substring(4) : null;
                if (gets && made.keySet().stream().noneMatch(key::equalsIgnoreCase)) {
                    method.setAccessible(true);
                    made.put(key, method.invoke(value));
                }
            }
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException("cannot read " + type.getName() + ": " + error, error);
        }
        return made;
    }

    private static Method getter(Class<?> type, Field field) {
        String name = field.getName();
        String capital = Character.toUpperCase(name.charAt(0)) + name.substring(1);
        for (String each : new String[] {"get" + capital, "is" + capital}) {
            try {
                return type.getMethod(each);
            } catch (NoSuchMethodException error) {
                continue;
            }
        }
        return null;
    }
}
