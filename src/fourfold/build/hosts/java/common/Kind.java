package fourfold.host;

import java.util.Map;

/** A container that guests live in: Tomcat, or an OSGi framework. */
public interface Kind {
    /** As in FOURFOLD_HOST. */
    String name();

    /**
     * Starts it; returns once it serves. Called in a thread of the guest's own group, interrupted by `kill`.
     *
     * @throws Exception why it cannot start: people are told of the cause at the bottom
     */
    Running start(Guest guest) throws Exception;

    /** Nobody is in there any more, and nothing is to be written from now on. */
    default void close() throws Exception {}

    /** A guest that has started. Its methods are called in threads of the host, one at a time but for `usage`. */
    interface Running {
        /** No new connections; waits up to `grace` seconds for what is in progress, then ends it. -> what people are to know, or null. */
        String stop(double grace) throws Exception;

        /** Ends it without waiting for anything. */
        void kill() throws Exception;

        /** What only the kind can count: `requests`, `errors`, `busy`, `longest`. Quick. */
        Map<String, Object> usage();
    }
}
