package fourfold.host;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** The guests of this host, and what the control socket may ask. Every answer is immediate; the rest goes on behind it. */
final class Guests {
    /** Seconds that one is given to end when it is killed, before it counts as gone: its code cannot be ended by force. */
    private static final long PATIENCE = 5;
    private static final long STORED = 1_000_000_000;
    private final Kind kind;
    private final Consumer<Map<String, Object>> events;
    private final long pid = ProcessHandle.current().pid();
    private final Meter meter = new Meter();
    private final Map<String, Entry> here = new TreeMap<>();
    private final Map<String, Map<String, Object>> ended = new LinkedHashMap<>();

    private static final class Entry {
        final Guest guest;
        final CountDownLatch started = new CountDownLatch(1);
        final CountDownLatch gone = new CountDownLatch(1);
        volatile Kind.Running running;
        Thread starter;
        Thread stopper;
        boolean killed;

        Entry(Guest guest) {
            this.guest = guest;
        }
    }

    Guests(Kind kind, Consumer<Map<String, Object>> events) {
        this.kind = kind;
        this.events = events;
        meter.start();
    }

    /** @throws Refused with a sentence for people */
    Object handle(Map<String, Object> request) throws Refused {
        String todo = Refused.text(request, "do");
        switch (todo) {
            case "start":
                return start(request);
            case "stop":
                return stop(request, Refused.number(request, "grace").doubleValue());
            case "kill":
                return kill(request);
            case "list":
                return list();
            case "forget":
                synchronized (this) {
                    ended.remove(key(request));
                    notifyAll();
                }
                return Map.of();
            case "usage":
                return usage();
            default:
                throw new Refused("cannot do '" + todo + "': this host knows start, stop, kill, list, forget and usage");
        }
    }

    private static String key(Map<String, Object> request) throws Refused {
        return Refused.text(request, "guest") + " " + Refused.as(Object.class, request, "run");
    }

    private synchronized Object start(Map<String, Object> request) throws Refused {
        Guest guest = guest(request);
        Entry there = here.get(guest.id);
        if (there != null && !there.guest.run.equals(guest.run)) {
            throw new Refused("cannot start " + guest.id + ": its run " + there.guest.run + " has not ended yet");
        }
        if (there == null && !ended.containsKey(key(request))) {
            Entry entry = new Entry(guest);
            here.put(guest.id, entry);
            meter.add(guest);
            entry.starter = new Guest.Ours(guest, () -> run(entry), "start of " + guest.id);
            entry.starter.start();
        }
        return Map.of("pid", pid);
    }

    private static Guest guest(Map<String, Object> request) throws Refused {
        List<String> argv = new ArrayList<>();
        for (Object each : Refused.as(List.class, request, "argv")) {
            argv.add(String.valueOf(each));
        }
        Map<String, String> env = new LinkedHashMap<>();
        for (Map.Entry<?, ?> each : ((Map<?, ?>) Refused.as(Map.class, request, "env")).entrySet()) {
            env.put(String.valueOf(each.getKey()), String.valueOf(each.getValue()));
        }
        Object port = request.get("port");
        Object host = request.get("host");
        if (argv.isEmpty()) {
            throw new Refused("cannot start it: argv is empty");
        }
        return new Guest(Refused.text(request, "guest"), Refused.as(Object.class, request, "run"),
            Refused.text(request, "name"), Path.of(Refused.text(request, "tree")), argv, env,
            host == null ? null : Refused.text(request, "host"),
            port == null ? null : (Integer) Refused.number(request, "port").intValue(),
            Refused.text(request, "path"), Path.of(Refused.text(request, "log")));
    }

    private void run(Entry entry) {
        Guest guest = entry.guest;
        try {
            entry.running = kind.start(guest);
        } catch (Throwable error) { // whatever code of others throws: LinkageErrors, mostly
            end(entry, Cause.tell(error, guest));
        } finally {
            guest.starting = false;
            guest.trouble = null;
            entry.starter = null;
            entry.started.countDown();
        }
    }

    private synchronized Entry find(Map<String, Object> request) throws Refused {
        String id = Refused.text(request, "guest");
        Entry entry = here.get(id);
        if (entry == null || !entry.guest.run.equals(request.get("run"))) {
            throw new Refused("cannot end " + id + ": it does not run here");
        }
        return entry;
    }

    private synchronized Object stop(Map<String, Object> request, double grace) throws Refused {
        Entry entry = find(request);
        stop(entry, grace);
        return Map.of();
    }

    private synchronized void stop(Entry entry, double grace) {
        if (entry.stopper == null) {
            entry.stopper = aside(entry, "stop of ", () -> {
                String said;
                try {
                    entry.started.await();
                    if (entry.running == null) {
                        return;
                    }
                    said = entry.running.stop(grace);
                } catch (InterruptedException error) { // killed
                    return;
                } catch (Throwable error) {
                    said = "it could not be stopped in order: " + Cause.tell(error, entry.guest);
                }
                end(entry, said);
            });
        }
    }

    private synchronized Object kill(Map<String, Object> request) throws Refused {
        Entry entry = find(request);
        if (!entry.killed) {
            entry.killed = true;
            if (entry.stopper != null) {
                entry.stopper.interrupt();
            }
            Thread starter = entry.starter;
            if (starter != null) {
                starter.interrupt();
            }
            aside(entry, "kill of ", () -> {
                try {
                    entry.started.await();
                    if (entry.running != null) {
                        entry.running.kill();
                    }
                } catch (Throwable error) {
                    Cause.tell(error, entry.guest);
                }
                end(entry, null);
            });
            aside(entry, "end of ", () -> {
                try {
                    if (!entry.gone.await(PATIENCE, TimeUnit.SECONDS)) {
                        end(entry, "it was told to end at once and did not: what it runs goes on until the group restarts");
                    }
                } catch (InterruptedException error) {
                    return;
                }
            });
        }
        return Map.of();
    }

    /** In its own group: what its code prints and takes meanwhile is its own. */
    private static Thread aside(Entry entry, String name, Runnable work) {
        Thread thread = new Guest.Ours(entry.guest, work, name + entry.guest.id);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private void end(Entry entry, String said) {
        Guest guest = entry.guest;
        Map<String, Object> event = new LinkedHashMap<>();
        synchronized (this) {
            if (here.get(guest.id) != entry) {
                return;
            }
            here.remove(guest.id);
            event.put("event", "ended");
            event.put("guest", guest.id);
            event.put("run", guest.run);
            event.put("code", null);
            event.put("signal", null);
            event.put("said", said == null ? "" : Cause.cut(said));
            ended.put(guest.id + " " + guest.run, event);
            meter.remove(guest);
        }
        guest.close();
        entry.running = null;
        entry.gone.countDown();
        events.accept(event);
        Leaks.watch(guest, leak -> note(guest, "leak", leak));
    }

    private void note(Guest guest, String what, String said) {
        events.accept(Map.of("event", "note", "guest", guest.id, "kind", what, "said", Cause.cut(said)));
    }

    private synchronized Object list() {
        List<Object> guests = new ArrayList<>();
        for (Entry each : here.values()) {
            guests.add(Map.of("guest", each.guest.id, "run", each.guest.run, "pid", pid));
        }
        return Map.of("kind", kind.name(), "pid", pid, "guests", guests, "ended", new ArrayList<>(ended.values()));
    }

    private synchronized Object usage() {
        meter.look();
        Map<String, Object> guests = new LinkedHashMap<>();
        for (Entry each : here.values()) {
            Meter.Sum sum = meter.of(each.guest);
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("cpu_seconds", sum.cpu / 1e9);
            one.put("cpu", "measured");
            one.put("memory_bytes", null);
            one.put("memory", "unknown");
            one.put("allocated_bytes", sum.bytes);
            one.put("threads", sum.threads);
            Kind.Running running = each.running;
            one.putAll(running == null ? Map.of() : running.usage());
            guests.put(each.guest.id, one);
        }
        Runtime jvm = Runtime.getRuntime();
        Map<String, Object> whole = Map.of("heap_bytes", jvm.totalMemory() - jvm.freeMemory(), "heap_most", jvm.maxMemory());
        return Map.of("guests", guests, "whole", whole);
    }

    /** Its code ends the process, which waits until the supervisor has stored that, or for a second. Null: it was nobody's. */
    synchronized void blame(Guest guest) throws InterruptedException {
        Entry entry = guest == null ? null : here.get(guest.id);
        if (entry == null || entry.guest != guest) {
            return;
        }
        end(entry, "it has called System.exit, which ends its group and all in it");
        long until = System.nanoTime() + STORED;
        for (long left = STORED; left > 0 && ended.containsKey(guest.id + " " + guest.run); left = until - System.nanoTime()) {
            TimeUnit.NANOSECONDS.timedWait(this, left);
        }
    }

    /** Ends all, side by side; returns once they are gone, or `grace` seconds and a little are over. */
    void stopAll(double grace) throws InterruptedException {
        List<Entry> all;
        synchronized (this) {
            all = new ArrayList<>(here.values());
            for (Entry each : all) {
                stop(each, grace);
            }
        }
        long until = System.nanoTime() + (long) ((grace + 2) * 1e9);
        for (Entry each : all) {
            each.gone.await(Math.max(0, until - System.nanoTime()), TimeUnit.NANOSECONDS);
        }
    }
}
