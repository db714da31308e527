package org.gaitkeeper.keycloak.sidecar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The queue of reports, against a real socket. */
@Timeout(30)
class ReportsTest {
    private final List<String> logged = new CopyOnWriteArrayList<>();
    private final List<String> taken = new CopyOnWriteArrayList<>();
    private final SidecarClient client = new SidecarClient(SidecarClient.http(null), SidecarClient.permits(), logged::add);
    private HttpServer server;
    private Connection to;

    @BeforeEach
    void serve() throws Exception {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.start();
        to = new Connection("http://127.0.0.1:" + server.getAddress().getPort(), "https://side.car", "https://idp/realms/a", Keys.key());
        answer("/", 204);
    }

    @AfterEach
    void end() {
        server.stop(0);
    }

    private void answer(String path, int status) {
        server.createContext(path, exchange -> {
            exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(status, -1);
            exchange.close();
            taken.add(exchange.getRequestURI().getPath());
        });
    }

    private Reports reports(int capacity, Duration patience) {
        return new Reports(client, () -> to, capacity, patience, logged::add);
    }

    private static Reports.Report report(String path) {
        return new Reports.Report(path, Map.of("type", "logout"));
    }

    private static void until(java.util.function.BooleanSupplier holds) throws InterruptedException {
        while (!holds.getAsBoolean()) {
            Thread.sleep(10);
        }
    }

    @Test
    void reportsAreTriedUntilTheyAreTakenAndCountedWhenTheyAreLost() throws Exception {
        AtomicInteger calls = new AtomicInteger();
        CountDownLatch taken = new CountDownLatch(2);
        server.createContext("/v1/events", exchange -> {
            exchange.getRequestBody().readAllBytes();
            boolean refuse = calls.incrementAndGet() == 1;
            exchange.sendResponseHeaders(refuse ? 503 : 204, -1);
            exchange.close();
            if (!refuse) {
                taken.countDown();
            }
        });
        List<String> logged = new ArrayList<>();
        AtomicReference<Connection> connection = new AtomicReference<>();
        Reports reports = new Reports(client, connection::get, 2, Duration.ofHours(1), logged::add);
        Reports.Report report = new Reports.Report("/v1/events", Map.of("type", "logout"));
        int kept = 0;
        for (int i = 0; i < 5; i++) {
            kept += reports.add(report) ? 1 : 0;
        }
        connection.set(to);
        assertTrue(taken.await(10, TimeUnit.SECONDS));
        assertEquals(5 - kept, reports.counts().get("lost"));
        assertTrue(kept == 2 || kept == 3, "one may be on its way already");
        reports.close();
        assertEquals((long) kept, reports.counts().get("delivered"));
        assertEquals(2, logged.size(), logged.toString());
    }

    @Test
    void whatStillWaitsAtTheEndIsCounted() {
        Reports reports = new Reports(client, () -> null, 5, Duration.ofHours(1), line -> { });
        reports.add(new Reports.Report("/v1/events", Map.of()));
        reports.add(new Reports.Report("/v1/events", Map.of()));
        reports.close();
        assertEquals(2, reports.counts().get("lost"));
    }

    @Test
    void whatFailsForItselfLetsTheOthersPassAndIsLostInTheEnd() throws Exception {
        answer("/poison", 500);
        answer("/elsewhere", 302);
        Reports reports = reports(10, Duration.ofMillis(900));
        for (String path : List.of("/poison", "/elsewhere", "/first", "/second")) {
            assertTrue(reports.add(report(path)));
        }
        until(() -> reports.counts().get("delivered") == 2);
        until(() -> reports.counts().get("lost") == 2);
        assertEquals(0, reports.counts().get("waiting"));
        assertTrue(taken.stream().filter("/poison"::equals).count() > 1, "tried again before it was given up");
        reports.close();
    }

    @Test
    void anAddressThatIsNoneStopsNoThreadAndWaits() throws Exception {
        Connection right = to;
        to = new Connection("no url", to.audience(), to.issuer(), to.key());
        Reports reports = reports(10, Duration.ofHours(1));
        reports.add(report("/first"));
        Thread.sleep(300);
        assertEquals(1, reports.counts().get("waiting"));
        to = right;
        until(() -> taken.contains("/first"));
        reports.close();
    }

    @Test
    void aReportThatIsNoJsonIsLostAndTheNextIsTaken() throws Exception {
        Reports reports = reports(10, Duration.ofHours(1));
        reports.add(new Reports.Report("/broken", Map.of("name", new Object())));
        reports.add(report("/next"));
        until(() -> reports.counts().get("delivered") == 1);
        assertEquals(1, reports.counts().get("lost"));
        reports.close();
    }

    @Test
    void whoMustComeAfterAReportWaitsForItAndNotForever() throws Exception {
        Connection right = to;
        to = null;
        Reports reports = reports(10, Duration.ofHours(1));
        reports.add(report("/login"));
        long began = System.nanoTime();
        reports.awaitTaken("/login", 100_000_000);
        assertTrue(System.nanoTime() - began >= 90_000_000);
        assertEquals(List.of(), taken);
        to = right;
        reports.awaitTaken("/login", 10_000_000_000L);
        assertEquals(List.of("/login"), taken);
        reports.close();
    }

    @Test
    void whatStrangersCauseFillsHalfTheQueue() {
        to = null;
        Reports reports = reports(10, Duration.ofHours(1));
        for (int i = 0; i < 20; i++) {
            reports.addCheap(report("/failed"));
        }
        assertTrue(reports.add(report("/completion")));
        assertFalse(reports.addCheap(report("/failed")));
        reports.close();
    }

    @Test
    void manyQueuesCloseAsFastAsOneAndLeaveNoThread() {
        to = null;
        List<Reports> all = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            Reports reports = reports(10, Duration.ofHours(1));
            reports.add(report("/first"));
            all.add(reports);
        }
        long began = System.nanoTime();
        Reports.closeAll(all);
        assertTrue(System.nanoTime() - began < 5_000_000_000L);
        assertTrue(all.stream().allMatch(one -> one.counts().get("lost") == 1), "each is counted once");
    }

    @Test
    void anAbandonedQueueEndsByItself() throws Exception {
        to = null;
        Reports reports = reports(10, Duration.ofHours(1));
        reports.add(report("/first"));
        reports.add(report("/second"));
        Thread.sleep(100);
        reports.abandon();
        assertFalse(reports.add(report("/third")));
        until(() -> reports.counts().get("waiting") == 0);
    }
}
