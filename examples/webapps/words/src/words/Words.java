package words;

import jakarta.annotation.Resource;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** How often each word stands in a text: POST /words, or GET /words?text=… */
@WebServlet(urlPatterns = {"/", "/healthz"})
public final class Words extends HttpServlet {
    /** From the service's `env`, by JNDI: java:comp/env/LIMIT. */
    @Resource(name = "LIMIT")
    private Integer limit;

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        if (request.getServletPath().equals("/healthz")) {
            response.getWriter().print("ok");
            return;
        }
        answer(request.getParameter("text"), response);
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
        answer(new String(request.getInputStream().readNBytes(limit + 1), StandardCharsets.UTF_8), response);
    }

    private void answer(String text, HttpServletResponse response) throws IOException {
        if (text == null || text.length() > limit) {
            response.sendError(HttpServletResponse.SC_BAD_REQUEST, "a text of at most " + limit + " characters");
            return;
        }
        Map<String, Long> counts = Arrays.stream(text.toLowerCase().split("[^\\p{L}\\p{N}]+")).filter(word -> !word.isEmpty())
            .collect(Collectors.groupingBy(word -> word, TreeMap::new, Collectors.counting()));
        response.setContentType("application/json");
        response.setCharacterEncoding("UTF-8");
        response.getWriter().println(counts.entrySet().stream().map(each -> "\"" + each.getKey() + "\": " + each.getValue())
            .collect(Collectors.joining(", ", "{", "}")));
    }
}
