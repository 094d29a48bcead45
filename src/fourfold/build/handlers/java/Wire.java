package fourfold.lambda;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/** HTTP/1.1 on one kept connection, as far as the Runtime API needs it: far less to load than what the JDK has. */
final class Wire {
    static final String BASE = "/2018-06-01/runtime";

    static final class Answer {
        int status;
        final Map<String, String> headers = new HashMap<>();
        byte[] body = new byte[0];
    }

    private final String host;
    private final int port;
    private Socket socket;
    private InputStream in;

    Wire(String address) {
        int colon = address.lastIndexOf(':');
        host = colon < 0 ? address : address.substring(0, colon);
        port = colon < 0 ? 80 : Integer.parseInt(address.substring(colon + 1));
    }

    Answer get(String place) throws IOException {
        return ask("GET " + BASE + place, "", null);
    }

    /** `headers`: lines that end in CRLF. */
    Answer post(String place, String headers, byte[] body) throws IOException {
        return ask("POST " + BASE + place, headers, body);
    }

    private Answer ask(String line, String headers, byte[] body) throws IOException {
        if (socket == null) {
            open();
        }
        StringBuilder head = new StringBuilder(256).append(line).append(" HTTP/1.1\r\nHost: ").append(host).append(':')
            .append(port).append("\r\n").append(headers);
        if (body != null) {
            head.append("Content-Length: ").append(body.length).append("\r\n");
        }
        byte[] top = head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
        byte[] all = top;
        if (body != null) {
            all = new byte[top.length + body.length];
            System.arraycopy(top, 0, all, 0, top.length);
            System.arraycopy(body, 0, all, top.length, body.length);
        }
        socket.getOutputStream().write(all); // in one write: two would wait for each other (Nagle's algorithm)
        return read();
    }

    private void open() throws IOException {
        socket = new Socket();
        socket.setTcpNoDelay(true);
        socket.connect(new InetSocketAddress(InetAddress.getByName(host), port));
        in = new BufferedInputStream(socket.getInputStream(), 16384);
    }

    private Answer read() throws IOException {
        Answer answer = new Answer();
        answer.status = Integer.parseInt(line().split(" ", 3)[1]);
        String line;
        while (!(line = line()).isEmpty()) {
            int colon = line.indexOf(':');
            if (colon > 0) {
                answer.headers.put(line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).trim());
            }
        }
        if ("chunked".equalsIgnoreCase(answer.headers.get("transfer-encoding"))) {
            answer.body = chunks();
        } else {
            String length = answer.headers.get("content-length");
            answer.body = exactly(length == null ? 0 : Integer.parseInt(length));
        }
        if ("close".equalsIgnoreCase(answer.headers.get("connection"))) {
            socket.close();
            socket = null;
        }
        return answer;
    }

    private byte[] chunks() throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        int size;
        while ((size = Integer.parseInt(line().split(";", 2)[0].trim(), 16)) > 0) {
            byte[] chunk = exactly(size);
            all.write(chunk, 0, size);
            line();
        }
        while (!line().isEmpty()) { // trailers
            continue;
        }
        return all.toByteArray();
    }

    private byte[] exactly(int size) throws IOException {
        byte[] data = new byte[size];
        for (int have = 0; have < size;) {
            int count = in.read(data, have, size - have);
            if (count < 0) {
                throw new EOFException("the Runtime API has closed the connection");
            }
            have += count;
        }
        return data;
    }

    private String line() throws IOException {
        StringBuilder text = new StringBuilder(64);
        int next;
        while ((next = in.read()) != '\n') {
            if (next < 0) {
                throw new EOFException("the Runtime API has closed the connection");
            }
            if (next != '\r') {
                text.append((char) next);
            }
        }
        return text.toString();
    }
}
