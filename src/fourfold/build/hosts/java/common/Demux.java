package fourfold.host;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.logging.Formatter;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/** What guests print and log (java.util.logging) goes to their own logs, the rest to the host's. */
final class Demux extends OutputStream {
    private final PrintStream host;

    private Demux(PrintStream host) {
        this.host = host;
    }

    static void install() {
        System.setOut(new PrintStream(new Demux(System.out), true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(new Demux(System.err), true, StandardCharsets.UTF_8));
        logs();
    }

    /** Without guests' logs: the one guest of a process of its own writes where the process does. */
    static void logs() {
        Logger root = Logger.getLogger("");
        for (Handler each : root.getHandlers()) {
            root.removeHandler(each);
        }
        root.setLevel(Level.INFO);
        root.addHandler(new Lines());
    }

    @Override
    public void write(int one) throws IOException {
        write(new byte[] {(byte) one}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int from, int length) throws IOException {
        Guest guest = Guest.current();
        if (guest == null) {
            host.write(bytes, from, length);
        } else {
            guest.write(bytes, from, length);
        }
    }

    @Override
    public void flush() {
        host.flush();
    }

    private static final class Lines extends Handler {
        private static final Formatter FORM = new Line();

        @Override
        public void publish(LogRecord record) {
            if (!isLoggable(record)) {
                return;
            }
            Guest guest = Guest.current();
            boolean severe = record.getThrown() != null && record.getLevel().intValue() >= Level.SEVERE.intValue();
            if (severe && guest != null && guest.starting && guest.trouble == null) {
                guest.trouble = record.getThrown();
            }
            System.err.print(FORM.format(record));
        }

        @Override
        public void flush() {
            System.err.flush();
        }

        @Override
        public void close() {}
    }

    private static final class Line extends Formatter {
        private static final DateTimeFormatter WHEN =
            DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);

        @Override
        public String format(LogRecord record) {
            StringWriter text = new StringWriter();
            String name = record.getLoggerName();
            text.append(WHEN.format(record.getInstant())).append(' ').append(record.getLevel().getName()).append(' ');
            text.append(name == null ? "" : name.substring(name.lastIndexOf('.') + 1)).append(": ");
            text.append(formatMessage(record)).append('\n');
            if (record.getThrown() != null) {
                record.getThrown().printStackTrace(new PrintWriter(text, true));
            }
            return text.toString();
        }
    }
}
