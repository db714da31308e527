package org.gaitkeeper.keycloak.sidecar;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * What the sidecar is told afterwards: completions, events, consent. Nobody waits for it, order is kept, and a report is tried
 * until it is taken or the server ends. The queue is bounded; what does not fit is lost and counted, never waited for.
 */
public final class Reports implements AutoCloseable {
    private static final Duration DEADLINE = Duration.ofSeconds(5);
    private static final long FIRST_PAUSE_MS = 200;
    private static final long LONGEST_PAUSE_MS = 30_000;
    private static final long LAST_MOMENT_MS = 2_000;

    /** One report. The body is what the sidecar's hook wants at the path. */
    public record Report(String path, Map<String, Object> body) { }

    private final SidecarClient client;
    private final Supplier<Connection> connection;
    private final Consumer<String> log;
    private final BlockingQueue<Report> waiting;
    private final AtomicLong delivered = new AtomicLong();
    private final AtomicLong refused = new AtomicLong();
    private final AtomicLong repeated = new AtomicLong();
    private final AtomicLong lost = new AtomicLong();
    private final Thread thread;
    private volatile boolean closing;

    /** {@code connection} may return null while the realm is not configured: reports wait then. */
    public Reports(SidecarClient client, Supplier<Connection> connection, int capacity, Consumer<String> log) {
        this.client = client;
        this.connection = connection;
        this.log = log;
        this.waiting = new ArrayBlockingQueue<>(capacity);
        this.thread = new Thread(this::run, "gaitkeeper-reports");
        thread.setDaemon(true);
        thread.start();
    }

    /** Queue a report; false when there was no room and it is lost. */
    public boolean add(Report report) {
        if (!closing && waiting.offer(report)) {
            return true;
        }
        if (lost.incrementAndGet() == 1) {
            log.accept("reports to the sidecar are lost: the queue is full");
        }
        return false;
    }

    /** Queue a report that an earlier run of the server may or may not have delivered. */
    public void repeat(Report report) {
        if (add(report)) {
            repeated.incrementAndGet();
        }
    }

    /** What became of the reports since the server started. {@code repeated}: made again from stored events at the start. */
    public Map<String, Long> counts() {
        Map<String, Long> counts = new TreeMap<>();
        counts.put("repeated", repeated.get());
        counts.put("waiting", (long) waiting.size());
        counts.put("delivered", delivered.get());
        counts.put("refused", refused.get());
        counts.put("lost", lost.get());
        return counts;
    }

    /** Give what waits a last moment, then count it as lost. */
    @Override
    public void close() {
        closing = true;
        try {
            thread.join(LAST_MOMENT_MS);
            thread.interrupt();
            thread.join(LAST_MOMENT_MS);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
        List<Report> rest = new ArrayList<>();
        waiting.drainTo(rest);
        lost.addAndGet(rest.size());
        if (lost.get() > 0) {
            log.accept(lost.get() + " reports to the sidecar were lost");
        }
    }

    private void run() {
        Report report = null;
        try {
            while (true) {
                report = waiting.poll(100, TimeUnit.MILLISECONDS);
                if (report != null) {
                    deliver(report);
                    report = null;
                } else if (closing) {
                    return;
                }
            }
        } catch (InterruptedException stopped) {
            if (report != null) {
                lost.incrementAndGet();
            }
        }
    }

    private void deliver(Report report) throws InterruptedException {
        byte[] body = Json.bytes(report.body());
        for (long pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
            Connection to = connection.get();
            if (to != null) {
                try {
                    int status = client.post(to, report.path(), body, DEADLINE);
                    if (status >= 200 && status < 300) {
                        delivered.incrementAndGet();
                        return;
                    }
                    if (isFinal(status)) {
                        refused.incrementAndGet();
                        log.accept("the sidecar refused " + report.path() + ": HTTP " + status);
                        return;
                    }
                } catch (NoAnswer again) {
                    // Tried again below.
                }
            }
            Thread.sleep(pause);
        }
    }

    /** 401 is not final: a clock or a key that is put right makes the next try, signed anew, succeed. */
    private static boolean isFinal(int status) {
        return status >= 400 && status < 500 && status != 401 && status != 408 && status != 425 && status != 429;
    }
}
