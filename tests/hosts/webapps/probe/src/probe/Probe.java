package probe;

import jakarta.servlet.DispatcherType;
import jakarta.servlet.ServletContextEvent;
import jakarta.servlet.ServletContextListener;
import jakarta.servlet.ServletException;
import jakarta.servlet.annotation.WebListener;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.naming.InitialContext;
import javax.naming.NamingException;

/** Does what it is told to. */
@WebServlet(urlPatterns = "/do/*", asyncSupported = true)
public final class Probe extends HttpServlet {
    private static final List<byte[]> KEPT = new ArrayList<>();

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException, ServletException {
        String what = request.getPathInfo().substring(1);
        String value = request.getParameter("value");
        if (what.equals("again") && request.getDispatcherType() != DispatcherType.ASYNC) {
            request.startAsync().dispatch();
            return;
        }
        response.setContentType("text/plain");
        response.getWriter().print(act(what, value));
    }

    private String act(String what, String value) throws ServletException {
        switch (what) {
            case "setting":
                return getServletContext().getInitParameter(value) + " " + jndi(value);
            case "print":
                System.out.println(value);
                return "printed";
            case "again":
                return "answered";
            case "sleep":
                pause(Long.parseLong(value));
                return "slept";
            case "await":
                while (!Files.exists(Path.of(value))) {
                    pause(10);
                }
                return "came";
            case "fail":
                throw new IllegalStateException(value);
            case "burn":
                ThreadMXBean threads = ManagementFactory.getThreadMXBean();
                long until = threads.getCurrentThreadCpuTime() + Long.parseLong(value) * 1_000_000;
                while (threads.getCurrentThreadCpuTime() < until) {
                    Thread.onSpinWait();
                }
                return "burnt";
            case "keep":
                KEPT.add(new byte[Integer.parseInt(value)]);
                return "kept";
            case "leak":
                new Thread(() -> pause(Long.MAX_VALUE), value).start();
                return "leaking";
            case "exit":
                System.exit(Integer.parseInt(value));
                return "gone";
            case "find":
                return find(value);
            default:
                throw new ServletException("what is " + what + "?");
        }
    }

    private static Object jndi(String name) throws ServletException {
        try {
            Object found = new InitialContext().lookup("java:comp/env/" + name);
            return found + " " + found.getClass().getSimpleName();
        } catch (NamingException error) {
            throw new ServletException(error);
        }
    }

    private static String find(String name) {
        try {
            return Class.forName(name).getName();
        } catch (ClassNotFoundException error) {
            return "not found";
        }
    }

    private static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException error) {
            throw new IllegalStateException("interrupted", error);
        }
    }

    private static final class Talkative extends IllegalStateException {
        Talkative(String said) {
            super(said);
        }

        @Override
        public String getMessage() {
            return super.getMessage().repeat(1_000_000);
        }
    }

    /** Fails to start if it is told to. */
    @WebListener
    public static final class Start implements ServletContextListener {
        @Override
        public void contextInitialized(ServletContextEvent event) {
            String wanted = event.getServletContext().getInitParameter("MISSING_CLASS");
            if (wanted != null) {
                try {
                    Class.forName(wanted);
                } catch (ClassNotFoundException error) {
                    throw new IllegalStateException("cannot set up", error);
                }
            }
            String said = event.getServletContext().getInitParameter("FAIL_WITH");
            if (said != null) {
                throw new Talkative(said);
            }
        }

        @Override
        public void contextDestroyed(ServletContextEvent event) {
            System.out.println("probe: good bye");
        }
    }
}
