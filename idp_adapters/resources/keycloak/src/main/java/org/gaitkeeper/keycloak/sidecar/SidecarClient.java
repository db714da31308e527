package org.gaitkeeper.keycloak.sidecar;

import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.EnumMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.LongConsumer;

/**
 * Asks one realm's sidecar, with a deadline that holds whatever the other side does.
 *
 * <p>Only {@code sendAsync(..).get(deadline)} is a deadline: {@link HttpRequest.Builder#timeout} ends with the first byte of the
 * response, so a body that drips holds the thread. HTTP/1.1 is set because the upgrade to HTTP/2 that Java offers on plain
 * connections makes some servers lose the body. A few calls at a time are permitted, by realm and for all realms together: hanging
 * sidecars that held every worker thread (Keycloak has 50) would stop the server's health endpoint, too.
 */
public final class SidecarClient {
    private static final int LARGEST_ANSWER = 64 * 1024;
    private static final int CALLS_AT_A_TIME = 16;
    private static final int CALLS_OF_ALL = 24;
    private static final int FAILURES = 5;
    private static final Duration PAUSE = Duration.ofSeconds(10);

    private final HttpClient http;
    private final Semaphore everybody;
    private final Consumer<String> log;
    private final Semaphore calls = new Semaphore(CALLS_AT_A_TIME);
    private final Breaker breaker = new Breaker(FAILURES, PAUSE.toNanos(), System::nanoTime);
    private final Map<NoAnswer.Cause, AtomicLong> unanswered = new EnumMap<>(NoAnswer.Cause.class);
    private final AtomicLong answered = new AtomicLong();
    private final AtomicLong captures = new AtomicLong();
    private volatile long outageSince;

    /** {@code everybody}: what all clients of a server share, see {@link #permits()}. */
    public SidecarClient(HttpClient http, Semaphore everybody, Consumer<String> log) {
        this.http = http;
        this.everybody = everybody;
        this.log = log;
        for (NoAnswer.Cause cause : NoAnswer.Cause.values()) {
            unanswered.put(cause, new AtomicLong());
        }
    }

    /** Return the permits for all realms' calls together. */
    public static Semaphore permits() {
        return new Semaphore(CALLS_OF_ALL);
    }

    /** Return the HTTP client that all realms share. {@code proxy} is {@code host:port}, or null for none. */
    public static HttpClient http(String proxy) {
        HttpClient.Builder builder = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(Duration.ofSeconds(2));
        if (proxy != null && !proxy.isBlank()) {
            URI address = URI.create("http://" + proxy.strip());
            builder.proxy(ProxySelector.of(InetSocketAddress.createUnresolved(address.getHost(), address.getPort())));
        } else {
            builder.proxy(HttpClient.Builder.NO_PROXY);
        }
        return builder.build();
    }

    /** Ask about one login. {@code deadline} is all the time there is, connecting and reading included. */
    public Verdict evaluate(Connection to, Question question, Duration deadline) throws NoAnswer {
        return evaluate(to, question, deadline, time -> { });
    }

    /** The same, after something that must come first and may take half the time; it gets that in nanoseconds. */
    public Verdict evaluate(Connection to, Question question, Duration deadline, LongConsumer first) throws NoAnswer {
        long end = System.nanoTime() + deadline.toNanos();
        try {
            Verdict verdict = guarded(to, question, end, first);
            answered.incrementAndGet();
            return verdict;
        } catch (NoAnswer none) {
            count(none.why());
            throw none;
        }
    }

    /**
     * Make the first login as fast as the others: load the classes, sign, connect. Whether the sidecar answers does not matter
     * here, and nothing is counted.
     */
    public void warm(Connection to, Duration deadline) {
        try {
            HttpRequest request = signed(to, "/health/live", new byte[0]).GET().build();
            http.sendAsync(request, info -> new BoundedBody(LARGEST_ANSWER)).get(deadline.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException | ExecutionException | RuntimeException cold) {
            // The first login finds out and says so.
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    /** Count a login that could not even ask. */
    public void count(NoAnswer.Cause cause) {
        unanswered.get(cause).incrementAndGet();
    }

    /** Count a capture that was too long to go along. */
    public void countDropped() {
        captures.incrementAndGet();
    }

    /** How many evaluations were answered, and how many not, by cause; and how many captures were too long. */
    public Map<String, Long> counts() {
        Map<String, Long> counts = new java.util.TreeMap<>();
        counts.put("answered", answered.get());
        counts.put("captures_dropped", captures.get());
        unanswered.forEach((cause, count) -> counts.put(cause.name().toLowerCase(java.util.Locale.ROOT), count.get()));
        return counts;
    }

    /** Post a report; return the status. For background threads: {@code deadline} may be seconds. */
    public int post(Connection to, String path, byte[] body, Duration deadline) throws NoAnswer {
        try {
            return send(to, path, body, System.nanoTime() + deadline.toNanos()).statusCode();
        } catch (RuntimeException unforeseen) {
            throw new NoAnswer(NoAnswer.Cause.NOT_CONFIGURED, unforeseen.getClass().getSimpleName());
        }
    }

    private Verdict guarded(Connection to, Question question, long end, LongConsumer first) throws NoAnswer {
        if (!breaker.permits()) {
            throw new NoAnswer(NoAnswer.Cause.BREAKER_OPEN, "not asked, it did not answer before");
        }
        if (!calls.tryAcquire()) {
            breaker.unknown();
            throw new NoAnswer(NoAnswer.Cause.TOO_MANY_CALLS, CALLS_AT_A_TIME + " are waiting");
        }
        NoAnswer failed = null;
        boolean learned = false;
        try {
            Verdict verdict = ask(to, question, end, first);
            learned = true;
            return verdict;
        } catch (NoAnswer none) {
            learned = none.why().isFailure();
            failed = none;
            throw none;
        } finally {
            calls.release();
            settle(learned, failed);
        }
    }

    private Verdict ask(Connection to, Question question, long end, LongConsumer first) throws NoAnswer {
        if (!everybody.tryAcquire()) {
            throw new NoAnswer(NoAnswer.Cause.TOO_MANY_CALLS, CALLS_OF_ALL + " are waiting in all realms");
        }
        try {
            first.accept((end - System.nanoTime()) / 2);
            HttpResponse<byte[]> response = send(to, "/access/v1/evaluation", Json.bytes(question.body()), end);
            if (response.statusCode() != 200) {
                throw new NoAnswer(NoAnswer.Cause.ofStatus(response.statusCode()), "HTTP " + response.statusCode());
            }
            return Verdict.read(response.body(), question);
        } catch (RuntimeException unforeseen) { // a URL that is none, for example: the fail mode holds for that, too
            throw new NoAnswer(NoAnswer.Cause.NOT_CONFIGURED, unforeseen.getClass().getSimpleName());
        } finally {
            everybody.release();
        }
    }

    /** Tell the breaker, and the log when an outage begins or ends: every login in between is counted, not logged. */
    private void settle(boolean learned, NoAnswer failed) {
        if (!learned) {
            breaker.unknown();
        } else if (failed == null && breaker.succeeded()) {
            log.accept("the sidecar answers again after " + (System.nanoTime() - outageSince) / 1_000_000_000L + " s");
        } else if (failed != null && breaker.failed()) {
            outageSince = System.nanoTime();
            log.accept("the sidecar failed " + FAILURES + " times in a row (" + failed.getMessage() + "): asked once in "
                + PAUSE.toSeconds() + " s from now on");
        }
    }

    private HttpResponse<byte[]> send(Connection to, String path, byte[] body, long end) throws NoAnswer {
        HttpRequest request = signed(to, path, body).POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
        CompletableFuture<HttpResponse<byte[]>> answer = http.sendAsync(request, info -> new BoundedBody(LARGEST_ANSWER));
        try {
            return answer.get(Math.max(0, end - System.nanoTime()), TimeUnit.NANOSECONDS);
        } catch (TimeoutException late) {
            answer.cancel(true);
            throw new NoAnswer(NoAnswer.Cause.TIMEOUT, "nothing complete within the deadline");
        } catch (ExecutionException failed) {
            throw new NoAnswer(NoAnswer.Cause.UNREACHABLE, failed.getCause().getClass().getSimpleName());
        } catch (InterruptedException stopped) {
            answer.cancel(true);
            Thread.currentThread().interrupt();
            throw new NoAnswer(NoAnswer.Cause.TIMEOUT, "interrupted");
        }
    }

    private static HttpRequest.Builder signed(Connection to, String path, byte[] body) {
        RequestAssertion.Request request =
            new RequestAssertion.Request(to.issuer(), to.audience(), "POST", to.audience() + path, body);
        return HttpRequest.newBuilder(URI.create(to.url() + path))
            .header("Authorization", "Bearer " + RequestAssertion.sign(to.key(), request, System.currentTimeMillis() / 1000))
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", UUID.randomUUID().toString());
    }
}
