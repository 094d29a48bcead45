package notes;

import jakarta.servlet.ServletException;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Deque;
import java.util.concurrent.ConcurrentLinkedDeque;

/** The last few notes, newest first. POST with `text` adds one. */
@WebServlet({"/list", "/healthz"})
public final class Notes extends HttpServlet {
    private static final int KEPT = 20;
    private static final int LONGEST = 200;
    private final Deque<String> notes = new ConcurrentLinkedDeque<>();

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException, ServletException {
        if (request.getServletPath().equals("/healthz")) {
            response.getWriter().print("ok");
            return;
        }
        request.setAttribute("notes", notes);
        request.getRequestDispatcher("/WEB-INF/list.jsp").forward(request, response);
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String text = request.getParameter("text");
        if (text == null || text.isBlank() || text.length() > LONGEST) {
            response.sendError(HttpServletResponse.SC_BAD_REQUEST, "a note has 1 to " + LONGEST + " characters");
            return;
        }
        notes.addFirst(text.strip());
        while (notes.size() > KEPT) {
            notes.pollLast();
        }
        response.sendRedirect(request.getContextPath() + "/list");
    }
}
