package fourfold.host;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;

/** The control socket: JSON, one object per line, each way. One thread reads each connection, and one writes. */
final class Control {
    private static final int LONGEST = 4 * 1024 * 1024;
    /** Lines that may wait for somebody who does not read; then the connection is closed. */
    private static final int WAITING = 10_000;
    private static final int CONNECTIONS = 32;
    private static final String CLOSE = "";
    private final ServerSocketChannel server;
    private final Set<Connection> open = ConcurrentHashMap.newKeySet();

    /** What answers requests. */
    interface Answers {
        Object handle(Map<String, Object> request) throws Refused;
    }

    Control(Path socket) throws IOException {
        Files.deleteIfExists(socket);
        server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        server.bind(UnixDomainSocketAddress.of(socket));
        Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-------"));
    }

    /** To all connections. */
    void tell(Map<String, Object> event) {
        String line = Json.write(event);
        for (Connection each : open) {
            each.send(line);
        }
    }

    /** Takes connections, for ever. */
    void serve(Answers answers) {
        for (;;) {
            try {
                SocketChannel channel = server.accept();
                if (open.size() >= CONNECTIONS) {
                    channel.close();
                    continue;
                }
                Connection connection = new Connection(channel, answers);
                open.add(connection);
                connection.start();
            } catch (IOException error) { // no descriptors left, say: whoever asks tries again
                error.printStackTrace();
                try {
                    Thread.sleep(100);
                } catch (InterruptedException ended) {
                    return;
                }
            }
        }
    }

    private final class Connection {
        private final SocketChannel channel;
        private final Answers answers;
        private final BlockingQueue<String> lines = new ArrayBlockingQueue<>(WAITING);

        Connection(SocketChannel channel, Answers answers) {
            this.channel = channel;
            this.answers = answers;
        }

        void start() {
            aside("control: reads", this::read);
            aside("control: writes", this::write);
        }

        private void aside(String name, Runnable work) {
            Thread thread = new Thread(work, name);
            thread.setDaemon(true);
            thread.start();
        }

        void send(String line) {
            if (!lines.offer(line)) {
                close();
            }
        }

        private void close() {
            open.remove(this);
            lines.offer(CLOSE);
            try {
                channel.close();
            } catch (IOException error) {
                // it is closed all the same
            }
        }

        private void write() {
            try {
                for (String line = lines.take(); line != CLOSE; line = lines.take()) {
                    ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
                    while (bytes.hasRemaining()) {
                        channel.write(bytes);
                    }
                }
            } catch (IOException | InterruptedException error) {
                close();
            }
        }

        private void read() {
            // A stream of its own, not Channels': that one's lock would keep the writer waiting while nothing comes.
            try (InputStream in = new BufferedInputStream(new Incoming(channel))) {
                for (String line = line(in); line != null; line = line(in)) {
                    send(Json.write(answer(line)));
                }
            } catch (IOException error) {
                // whoever asked is gone
            } finally {
                close();
            }
        }

        private String line(InputStream in) throws IOException {
            ByteArrayOutputStream line = new ByteArrayOutputStream(512);
            for (int next = in.read(); next != '\n'; next = in.read()) {
                if (next < 0) {
                    return null;
                }
                if (line.size() == LONGEST) {
                    send(Json.write(Map.of("error", "cannot read the request: a line is longer than " + LONGEST + " bytes")));
                    return null;
                }
                line.write(next);
            }
            return line.toString(StandardCharsets.UTF_8);
        }

        @SuppressWarnings("unchecked")
        private Map<String, Object> answer(String line) {
            Map<String, Object> answer = new LinkedHashMap<>();
            try {
                Object request = Json.read(line);
                if (!(request instanceof Map)) {
                    throw new Refused("cannot read the request: it is no object");
                }
                answer.put("id", ((Map<String, Object>) request).get("id"));
                answer.put("ok", answers.handle((Map<String, Object>) request));
            } catch (Refused error) {
                answer.put("error", error.getMessage());
            } catch (RuntimeException error) { // malformed JSON, mostly
                answer.put("error", "cannot read the request: " + error.getMessage());
            }
            return answer;
        }
    }

    private static final class Incoming extends InputStream {
        private final SocketChannel channel;

        Incoming(SocketChannel channel) {
            this.channel = channel;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] bytes, int from, int length) throws IOException {
            return channel.read(ByteBuffer.wrap(bytes, from, length));
        }
    }
}
