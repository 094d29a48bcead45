package fourfold.host;

import java.util.IdentityHashMap;
import java.util.Map;

/** Why something failed, in a line. */
final class Cause {
    private static final int MOST = 2000;

    private Cause() {}

    /** Prints all of it, -> a line. Exceptions are code of guests, too: one that cannot even be printed is told by its class. */
    static String tell(Throwable error, Guest guest) {
        try {
            error.printStackTrace();
            return cut(say(error, guest));
        } catch (Throwable another) {
            return error.getClass().getName() + ", which cannot be printed: " + another.getClass().getName();
        }
    }

    /** What people read; a line of the control socket has its limit. */
    static String cut(String said) {
        return said.length() <= MOST ? said : said.substring(0, MOST) + " …";
    }

    /** The exception at the bottom, and where in the guest's own code it came from. */
    private static String say(Throwable error, Guest guest) {
        Throwable root = root(error);
        Throwable logged = guest.trouble;
        if (logged != null && !deeper(error)) {
            root = root(logged);
        }
        String place = place(root, guest);
        return root + (place == null ? "" : " (at " + place + ")");
    }

    /** Whether the exception itself tells more than that something failed. */
    private static boolean deeper(Throwable error) {
        return error.getCause() != null;
    }

    private static Throwable root(Throwable error) {
        Map<Throwable, Boolean> seen = new IdentityHashMap<>();
        Throwable root = error;
        while (root.getCause() != null && seen.put(root, true) == null) {
            root = root.getCause();
        }
        return root;
    }

    private static String place(Throwable root, Guest guest) {
        for (StackTraceElement each : root.getStackTrace()) {
            String loader = each.getClassLoaderName();
            boolean ours = each.getClassName().startsWith("fourfold.host.");
            if (each.getModuleName() == null && !"app".equals(loader) && !ours) {
                return each.getClassName() + "." + each.getMethodName() + ", " + each.getFileName() + ":" + each.getLineNumber();
            }
        }
        return null;
    }
}
