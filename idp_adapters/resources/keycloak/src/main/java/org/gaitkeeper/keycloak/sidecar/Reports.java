package org.gaitkeeper.keycloak.sidecar;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * What the sidecar is told afterwards: completions, events, consent. Nobody waits for it, and a report is tried until it is taken or
 * the server ends. The queue is bounded; what does not fit is lost and counted, never waited for.
 *
 * <p>Order is kept while the sidecar is silent. A report that it answers with a failure steps aside for the others, is tried again
 * for an hour, and is then lost. The thread lives only while something waits.
 */
public final class Reports implements AutoCloseable {
    private static final Duration DEADLINE = Duration.ofSeconds(5);
    private static final long FIRST_PAUSE_MS = 200;
    private static final long LONGEST_PAUSE_MS = 30_000;
    private static final long IDLE_MS = 5_000;
    private static final long LAST_MOMENT_MS = 2_000;

    /** One report. The body is what the sidecar's hook wants at the path. */
    public record Report(String path, Map<String, Object> body) { }

    /** A report on its way, and what became of it so far. */
    private static final class Waiting {
        private final Report report;
        private long failingSince;
        private long dueAt;
        private long pause = FIRST_PAUSE_MS;

        private Waiting(Report report) {
            this.report = report;
        }
    }

    private enum Fate { OVER, STEPS_ASIDE, WAITS }

    private final SidecarClient client;
    private final Supplier<Connection> connection;
    private final int capacity;
    private final long patience;
    private final Consumer<String> log;
    private final OncePerMinute<String> lines = new OncePerMinute<>(System::nanoTime);
    private final Deque<Waiting> inOrder = new ArrayDeque<>();
    private final List<Waiting> aside = new ArrayList<>();
    private final AtomicLong delivered = new AtomicLong();
    private final AtomicLong refused = new AtomicLong();
    private final AtomicLong repeated = new AtomicLong();
    private final AtomicLong lost = new AtomicLong();
    private Waiting current;
    private Thread thread;
    private boolean closing;

    /** {@code connection} may return null while the realm is not configured: reports wait then. */
    public Reports(SidecarClient client, Supplier<Connection> connection, int capacity, Duration patience, Consumer<String> log) {
        this.client = client;
        this.connection = connection;
        this.capacity = capacity;
        this.patience = patience.toMillis();
        this.log = log;
    }

    /** Queue a report; false when there was no room and it is lost. */
    public boolean add(Report report) {
        return add(report, capacity);
    }

    /** Queue a report that strangers can cause: it may fill half the queue, so that it never costs one of the others its place. */
    public boolean addCheap(Report report) {
        return add(report, capacity / 2);
    }

    private boolean add(Report report, int room) {
        synchronized (this) {
            if (!closing && inOrder.size() + aside.size() < room) {
                inOrder.add(new Waiting(report));
                if (thread == null) {
                    thread = new Thread(this::run, "gaitkeeper-reports");
                    thread.setDaemon(true);
                    thread.start();
                }
                notifyAll();
                return true;
            }
        }
        lost.incrementAndGet();
        say("lost", "a report to the sidecar is lost: the queue is full");
        return false;
    }

    /** Queue a report that an earlier run of the server may or may not have delivered. */
    public void repeat(Report report) {
        if (add(report)) {
            repeated.incrementAndGet();
        }
    }

    /** Wait until no report to a path is on its way any more, but not for longer than that. */
    public synchronized void awaitTaken(String path, long nanos) {
        long end = System.nanoTime() + nanos;
        try {
            for (long left; isOnItsWay(path) && (left = (end - System.nanoTime()) / 1_000_000) > 0; ) {
                wait(left);
            }
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    private boolean isOnItsWay(String path) {
        return (current != null && current.report.path().equals(path))
            || Stream.concat(inOrder.stream(), aside.stream()).anyMatch(one -> one.report.path().equals(path));
    }

    /** What became of the reports since the server started. {@code repeated}: made again from stored events at the start. */
    public synchronized Map<String, Long> counts() {
        Map<String, Long> counts = new TreeMap<>();
        counts.put("repeated", repeated.get());
        counts.put("waiting", (long) waiting());
        counts.put("delivered", delivered.get());
        counts.put("refused", refused.get());
        counts.put("lost", lost.get());
        return counts;
    }

    private int waiting() {
        return inOrder.size() + aside.size() + (current == null ? 0 : 1);
    }

    /** Give what waits a last moment, then count it as lost. */
    @Override
    public void close() {
        closeAll(List.of(this));
    }

    /** Close several at once: they share the last moment, so that a server with many realms stops as fast as one with few. */
    public static void closeAll(List<Reports> all) {
        all.forEach(Reports::beginToClose);
        long end = System.currentTimeMillis() + LAST_MOMENT_MS;
        all.forEach(one -> one.join(end));
        all.forEach(Reports::interrupt);
        all.forEach(one -> one.join(end + LAST_MOMENT_MS));
        all.forEach(Reports::countRest);
    }

    /** Forget what waits, and wait for nothing: whom it is about is gone. */
    public synchronized void abandon() {
        closing = true;
        lost.addAndGet(inOrder.size() + aside.size());
        inOrder.clear();
        aside.clear();
        notifyAll();
    }

    private synchronized void beginToClose() {
        closing = true;
        notifyAll();
    }

    private synchronized Thread thread() {
        return thread;
    }

    private void join(long end) {
        Thread running = thread();
        long left = end - System.currentTimeMillis();
        if (running != null && left > 0) {
            try {
                running.join(left);
            } catch (InterruptedException stopped) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private synchronized void interrupt() {
        if (thread != null) {
            thread.interrupt();
        }
    }

    private synchronized void countRest() {
        lost.addAndGet(waiting());
        inOrder.clear();
        aside.clear();
        current = null;
        if (lost.get() > 0) {
            log.accept(lost.get() + " reports to the sidecar were lost");
        }
    }

    private void run() {
        long pause = FIRST_PAUSE_MS;
        try {
            for (Waiting one; (one = next()) != null; ) {
                Fate fate = attempt(one);
                settle(one, fate);
                if (fate == Fate.OVER) {
                    pause = FIRST_PAUSE_MS;
                } else {
                    pause(fate == Fate.WAITS ? pause : FIRST_PAUSE_MS);
                    pause = fate == Fate.WAITS ? Math.min(pause * 2, LONGEST_PAUSE_MS) : pause;
                }
            }
        } catch (InterruptedException stopped) {
            // The server ends: what is left is counted there.
        } finally {
            ended();
        }
    }

    /** Return what to try next; null when nothing came for a while, or nothing more is to be tried. */
    private synchronized Waiting next() throws InterruptedException {
        long idleUntil = System.currentTimeMillis() + IDLE_MS;
        while (true) {
            long now = System.currentTimeMillis();
            Waiting due = inOrder.isEmpty() ? aside.stream().filter(one -> one.dueAt <= now).findFirst().orElse(null) : inOrder.poll();
            if (due != null) {
                aside.remove(due);
                current = due;
                return due;
            }
            boolean idle = aside.isEmpty() && now >= idleUntil;
            if (closing || idle) {
                thread = null; // under the lock: whoever adds from here on starts another one
                return null;
            }
            wait(aside.isEmpty() ? idleUntil - now : Math.max(1, aside.stream().mapToLong(one -> one.dueAt).min().orElse(now) - now));
        }
    }

    private Fate attempt(Waiting one) {
        Connection to = connection.get();
        if (to == null) {
            return Fate.WAITS;
        }
        try {
            int status = client.post(to, one.report.path(), Json.bytes(one.report.body()), DEADLINE);
            if (status >= 200 && status < 300) {
                delivered.incrementAndGet();
                return Fate.OVER;
            }
            if (status == 401 || status == 408 || status == 425 || status == 429) { // a clock or a key that is put right mends these
                return Fate.WAITS;
            }
            if (status >= 400 && status < 500) {
                refused.incrementAndGet();
                say("HTTP " + status, "the sidecar refused " + one.report.path() + ": HTTP " + status);
                return Fate.OVER;
            }
            return Fate.STEPS_ASIDE;
        } catch (NoAnswer again) {
            return Fate.WAITS;
        } catch (RuntimeException unforeseen) {
            lost.incrementAndGet();
            say("unforeseen", "a report is lost: " + unforeseen.getClass().getSimpleName());
            return Fate.OVER;
        }
    }

    private void settle(Waiting one, Fate fate) throws InterruptedException {
        long now = System.currentTimeMillis();
        boolean gaveUp = false;
        synchronized (this) {
            if (Thread.interrupted()) {
                throw new InterruptedException(); // current stays: it is counted with the rest
            }
            current = null;
            notifyAll(); // whoever waits for this one
            if (fate == Fate.WAITS) {
                inOrder.addFirst(one);
            } else if (fate == Fate.STEPS_ASIDE) {
                one.failingSince = one.failingSince == 0 ? now : one.failingSince;
                gaveUp = now - one.failingSince >= patience;
                if (!gaveUp) {
                    one.dueAt = now + one.pause;
                    one.pause = Math.min(one.pause * 2, LONGEST_PAUSE_MS);
                    aside.add(one);
                }
            }
            if (closing && fate != Fate.OVER) {
                throw new InterruptedException();
            }
        }
        if (gaveUp) {
            lost.incrementAndGet();
            say("gave up", "a report is lost: " + one.report.path() + " failed for too long");
        }
    }

    private synchronized void pause(long milliseconds) throws InterruptedException {
        long end = System.currentTimeMillis() + milliseconds;
        for (long left; !closing && (left = end - System.currentTimeMillis()) > 0; ) {
            wait(left);
        }
    }

    private synchronized void ended() {
        if (thread == Thread.currentThread()) {
            thread = null;
        }
    }

    private void say(String kind, String line) {
        long count = lines.count(kind);
        if (count > 0) {
            log.accept(count == 1 ? line : line + " (" + count + " times since it was last said)");
        }
    }
}
