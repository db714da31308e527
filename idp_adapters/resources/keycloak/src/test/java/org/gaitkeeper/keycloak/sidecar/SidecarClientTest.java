package org.gaitkeeper.keycloak.sidecar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Against real sockets: what matters here is what the clock says. */
@Timeout(30)
class SidecarClientTest {
    private static final Question QUESTION =
        Questions.plain();
    private static final Duration DEADLINE = Duration.ofMillis(250);
    private static final byte[] ALLOW = "{\"decision\":true,\"context\":{\"action\":\"allow\",\"decision_id\":\"d1\",\"subject\":\"u\",\"attempt\":\"attempt-1\"}}".getBytes(StandardCharsets.UTF_8);

    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final List<String> said = new CopyOnWriteArrayList<>();
    private final Semaphore everybody = SidecarClient.permits();
    private final SidecarClient client = new SidecarClient(SidecarClient.http(null), everybody, said::add);
    private HttpServer server;
    private Connection to;

    @BeforeEach
    void serve() throws Exception {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(threads);
        server.start();
        String url = "http://127.0.0.1:" + server.getAddress().getPort();
        to = new Connection(url, "https://side.car", "https://idp/realms/a", Keys.key());
    }

    @AfterEach
    void end() {
        server.stop(0);
        threads.shutdownNow();
    }

    private void answer(int status, byte[] body) {
        server.createContext("/", exchange -> {
            exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(status, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
    }

    private NoAnswer.Cause cause() {
        return assertThrows(NoAnswer.class, () -> client.evaluate(to, QUESTION, DEADLINE)).why();
    }

    @Test
    void theRequestIsSignedOverItsBytesForTheNameTheSidecarGivesItself() throws Exception {
        AtomicReference<Object> seen = new AtomicReference<>();
        server.createContext("/access/v1/evaluation", exchange -> {
            byte[] body = exchange.getRequestBody().readAllBytes();
            String token = exchange.getRequestHeaders().getFirst("Authorization").substring("Bearer ".length());
            try {
                seen.set(RequestAssertion.verify(token, List.of(to.key()), new RequestAssertion.Request(to.issuer(), to.audience(), "POST",
                    "https://side.car/access/v1/evaluation", body), System.currentTimeMillis() / 1000));
            } catch (RequestAssertion.Refused refused) {
                seen.set(refused);
            }
            exchange.sendResponseHeaders(200, ALLOW.length);
            exchange.getResponseBody().write(ALLOW);
            exchange.close();
        });
        assertEquals("d1", client.evaluate(to, QUESTION, Duration.ofSeconds(5)).decisionId());
        assertTrue(seen.get() instanceof RequestAssertion.Accepted, String.valueOf(seen.get()));
        assertEquals(1, client.counts().get("answered"));
    }

    @Test
    void warmingUpConnectsAndCountsNothing() throws Exception {
        CountDownLatch called = new CountDownLatch(1);
        server.createContext("/health/live", exchange -> {
            called.countDown();
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        client.warm(to, Duration.ofSeconds(5));
        assertEquals(0, called.getCount());
        assertEquals(0, client.counts().get("answered"));
        server.stop(0);
        client.warm(to, DEADLINE);
        assertEquals(0, client.counts().get("unreachable"));
    }

    @Test
    void aHangingSidecarCostsTheDeadlineAndNoMore() throws IOException {
        server.createContext("/", exchange -> sleep(5_000));
        long began = System.nanoTime();
        assertEquals(NoAnswer.Cause.TIMEOUT, cause());
        assertWithin(began, 600);
    }

    @Test
    void aDrippingBodyCostsTheDeadlineAndNoMore() throws IOException {
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, ALLOW.length);
            for (byte one : ALLOW) {
                exchange.getResponseBody().write(one);
                exchange.getResponseBody().flush();
                sleep(300);
            }
        });
        long began = System.nanoTime();
        assertEquals(NoAnswer.Cause.TIMEOUT, cause());
        assertWithin(began, 600);
    }

    @Test
    void errorsNonsenseAndFloodsAreNoAnswer() throws IOException {
        answer(500, ALLOW);
        assertEquals(NoAnswer.Cause.REFUSED, cause());
        server.removeContext("/");
        answer(200, "<html>".getBytes(StandardCharsets.UTF_8));
        assertEquals(NoAnswer.Cause.NONSENSE, cause());
        server.removeContext("/");
        answer(200, new byte[65 * 1024]);
        assertEquals(NoAnswer.Cause.UNREACHABLE, cause());
    }

    @Test
    void aSidecarThatIsGoneIsNotAskedForAWhile() throws Exception {
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            to = new Connection("http://127.0.0.1:" + taken.getLocalPort(), to.audience(), to.issuer(), to.key());
        }
        for (int i = 0; i < 5; i++) {
            assertEquals(NoAnswer.Cause.UNREACHABLE, cause());
        }
        assertEquals(NoAnswer.Cause.BREAKER_OPEN, cause());
        assertEquals(5, client.counts().get("unreachable"));
        assertEquals(1, client.counts().get("breaker_open"));
        assertEquals(1, said.size(), "an outage is one line: " + said);
    }

    @ParameterizedTest
    @ValueSource(ints = {400, 409, 413, 415, 422})
    void whoSendsNonsenseDoesNotMakeTheSidecarLookBroken(int status) {
        answer(status, ALLOW);
        for (int i = 0; i < 12; i++) {
            assertEquals(NoAnswer.Cause.BAD_REQUEST, cause());
        }
        server.removeContext("/");
        answer(401, ALLOW);
        for (int i = 0; i < 5; i++) {
            assertEquals(NoAnswer.Cause.REFUSED, cause());
        }
        assertEquals(NoAnswer.Cause.BREAKER_OPEN, cause());
    }

    @ParameterizedTest
    @ValueSource(strings = {"no url", "ftp://127.0.0.1", "//127.0.0.1", "http://", ""})
    void anAddressThatIsNoneIsNoAnswerAndNoAccident(String url) throws Exception {
        to = new Connection(url, to.audience(), to.issuer(), to.key());
        assertEquals(NoAnswer.Cause.NOT_CONFIGURED, cause());
        assertEquals(1, client.counts().get("not_configured"));
        client.warm(to, DEADLINE);
    }

    @Test
    void oneRealmsHangingSidecarLeavesThreadsToTheOthersAndAllTogetherHaveALimit() throws Exception {
        server.createContext("/", exchange -> sleep(2_000));
        List<Callable<NoAnswer.Cause>> logins = new ArrayList<>();
        for (int realm = 0; realm < 4; realm++) {
            SidecarClient one = new SidecarClient(SidecarClient.http(null), everybody, said::add);
            for (int i = 0; i < 16; i++) {
                logins.add(() -> assertThrows(NoAnswer.class, () -> one.evaluate(to, QUESTION, Duration.ofSeconds(1))).why());
            }
        }
        int waited = 0;
        for (Future<NoAnswer.Cause> one : threads.invokeAll(logins)) {
            waited += one.get() == NoAnswer.Cause.TIMEOUT ? 1 : 0;
        }
        assertEquals(24, waited);
        assertEquals(24, everybody.availablePermits(), "each permit came back");
    }

    @Test
    void oneHundredLoginsAtOnceNeverHoldMoreThanSixteenThreads() throws Exception {
        AtomicInteger now = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        server.createContext("/", exchange -> {
            most.accumulateAndGet(now.incrementAndGet(), Math::max);
            sleep(2_000);
            now.decrementAndGet();
        });
        List<Callable<NoAnswer.Cause>> logins = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            logins.add(this::cause);
        }
        long began = System.nanoTime();
        List<Future<NoAnswer.Cause>> all = threads.invokeAll(logins);
        assertWithin(began, 2_500);
        int late = 0;
        for (Future<NoAnswer.Cause> one : all) {
            late += one.get() == NoAnswer.Cause.TIMEOUT ? 1 : 0;
        }
        assertTrue(late <= 32 && most.get() <= 32, late + " waited, " + most.get() + " at once");
    }

    private static void assertWithin(long began, long milliseconds) {
        long took = (System.nanoTime() - began) / 1_000_000;
        assertTrue(took < milliseconds, took + " ms");
    }

    private static void sleep(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }
}
