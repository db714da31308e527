package org.gaitkeeper.keycloak.login;

import java.io.IOException;
import java.net.http.HttpClient;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.function.Consumer;
import org.gaitkeeper.keycloak.sidecar.Connection;
import org.gaitkeeper.keycloak.sidecar.EcKey;
import org.gaitkeeper.keycloak.sidecar.Json;
import org.gaitkeeper.keycloak.sidecar.NoAnswer;
import org.gaitkeeper.keycloak.sidecar.OncePerMinute;
import org.gaitkeeper.keycloak.sidecar.Reports;
import org.gaitkeeper.keycloak.sidecar.SidecarClient;
import org.gaitkeeper.keycloak.sidecar.Timings;
import org.jboss.logging.Logger;
import org.keycloak.Config;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.vault.VaultStringSecret;

/**
 * One realm's sidecar: the client, the queue of reports, and the connection as last read.
 *
 * <p>The realm's key never stands in the realm. It is looked for in the vault ({@code gaitkeeper-key}), in the environment
 * ({@code GAITKEEPER_KEY_REALM}) and in the file {@code <key-dir>/<realm>.jwk}, and always under the realm's own name: whoever
 * administers one realm cannot make it sign with another's. So the environment serves only names that keep their own there.
 */
final class RealmSidecar {
    private static final Logger LOG = Logger.getLogger(RealmSidecar.class);
    private static final long KEY_SECONDS = 60;
    private static final int WAITING_REPORTS = 1000;
    private static final Duration PATIENCE = Duration.ofHours(1); // what is told of a login later than that teaches nothing
    private static final int KEPT_TIMINGS = 1024;
    private static final Semaphore EVERYBODY = SidecarClient.permits();
    private static final Map<String, RealmSidecar> BY_REALM = new ConcurrentHashMap<>();
    private static volatile HttpClient http = SidecarClient.http(null);
    private static volatile Path keyDirectory = Path.of(System.getProperty("kc.home.dir", "."), "conf", "gaitkeeper");

    final Timings timings = new Timings(KEPT_TIMINGS);
    final SidecarClient client = new SidecarClient(http, EVERYBODY, this::warn);
    final Reports reports = new Reports(client, this::connection, WAITING_REPORTS, PATIENCE, this::warn);
    private final OncePerMinute<NoAnswer.Cause> lines = new OncePerMinute<>(System::nanoTime);
    private volatile String realm;
    private volatile Connection connection;
    private EcKey key;
    private String keyOf;
    private long keyReadAt;

    private RealmSidecar(String realm) {
        this.realm = realm;
    }

    /** Return what was counted since the start, in words: {@code REALM evaluations answered} and so on. */
    static Map<String, String> told() {
        Map<String, String> told = new TreeMap<>();
        for (RealmSidecar one : BY_REALM.values()) {
            one.client.counts().forEach((name, count) -> told.put(one.realm + " evaluations " + name, count.toString()));
            one.reports.counts().forEach((name, count) -> told.put(one.realm + " reports " + name, count.toString()));
            one.timings.told().forEach((name, time) -> told.put(one.realm + " times " + name, time.toString()));
        }
        return told;
    }

    /** Take the server's own settings; called once, before any realm is used. */
    static void configure(Config.Scope scope) {
        if (scope.get("proxy") != null) {
            http = SidecarClient.http(scope.get("proxy"));
        }
        if (scope.get("key-dir") != null) {
            keyDirectory = Path.of(scope.get("key-dir"));
        }
    }

    static void closeAll() {
        List<RealmSidecar> all = List.copyOf(BY_REALM.values());
        BY_REALM.clear();
        Reports.closeAll(all.stream().map(one -> one.reports).toList());
    }

    /** The realm is gone, and with it whoever could be told of. */
    static void forget(String realmId) {
        RealmSidecar gone = BY_REALM.remove(realmId);
        if (gone != null) {
            gone.reports.abandon();
        }
    }

    /** Whether the realm was connected to a sidecar by an administrator at all. */
    static boolean isConfigured(RealmModel realm) {
        return realm.getAttribute(Names.URL) != null && realm.getAttribute(Names.ISSUER) != null;
    }

    static RealmSidecar of(RealmModel realm) {
        RealmSidecar sidecar = BY_REALM.computeIfAbsent(realm.getId(), id -> new RealmSidecar(realm.getName()));
        sidecar.realm = realm.getName(); // realms can be renamed
        return sidecar;
    }

    /** Queue a report for after the transaction: what is rolled back must not be reported. */
    static void tell(KeycloakSession session, RealmModel realm, Reports.Report report) {
        afterCommit(session, realm, sidecar -> sidecar.reports.add(report));
    }

    /** The same for a report that strangers can cause, see {@link Reports#addCheap}. */
    static void tellCheap(KeycloakSession session, RealmModel realm, Reports.Report report) {
        afterCommit(session, realm, sidecar -> sidecar.reports.addCheap(report));
    }

    private static void afterCommit(KeycloakSession session, RealmModel realm, Consumer<RealmSidecar> work) {
        if (!isConfigured(realm)) {
            return;
        }
        RealmSidecar sidecar = of(realm);
        try {
            sidecar.connect(session, realm);
        } catch (NoAnswer notYet) {
            sidecar.log("a report waits for the connection", notYet);
        }
        session.getTransactionManager().enlistAfterCompletion(new AfterCommit(() -> work.accept(sidecar)));
    }

    /** Log why something has to do without the sidecar: one line a minute and cause. */
    void log(String what, NoAnswer none) {
        LOG.debugf("realm %s: %s: %s", realm, what, none.getMessage());
        long count = lines.count(none.why());
        if (count > 0) {
            warn(what + ": " + none.getMessage() + (count == 1 ? "" : " (" + count + " times since it was last said)"));
        }
    }

    private void warn(String line) {
        LOG.warnf("realm %s: %s", realm, line);
    }

    /** Return the connection as the realm and its key say now. */
    synchronized Connection connect(KeycloakSession session, RealmModel realm) throws NoAnswer {
        if (!isConfigured(realm)) {
            throw new NoAnswer(NoAnswer.Cause.NOT_CONFIGURED, "realm " + realm.getName() + " has no sidecar");
        }
        long now = System.nanoTime();
        if (key == null || !realm.getName().equals(keyOf) || now - keyReadAt > KEY_SECONDS * 1_000_000_000L) {
            key = readKey(session, realm.getName());
            keyOf = realm.getName();
            keyReadAt = now;
        }
        String url = bare(realm.getAttribute(Names.URL));
        String audience = realm.getAttribute(Names.AUDIENCE);
        connection = new Connection(url, audience == null ? url : bare(audience), realm.getAttribute(Names.ISSUER), key);
        return connection;
    }

    private Connection connection() {
        return connection;
    }

    private static EcKey readKey(KeycloakSession session, String realm) throws NoAnswer {
        String text;
        try {
            text = keyText(session, realm);
        } catch (IOException | RuntimeException unreadable) { // a vault may throw anything
            throw new NoAnswer(NoAnswer.Cause.NOT_CONFIGURED, "the key of realm " + realm + " cannot be read");
        }
        try {
            EcKey read = EcKey.read(Json.object(text.getBytes(StandardCharsets.UTF_8)));
            if (read.secret() != null) {
                return read;
            }
        } catch (IllegalArgumentException unusable) {
            // Said below, without a word of the text.
        }
        throw new NoAnswer(NoAnswer.Cause.NOT_CONFIGURED, "the key of realm " + realm + " is not a private P-256 JWK");
    }

    private static String keyText(KeycloakSession session, String realm) throws IOException {
        try (VaultStringSecret secret = session.vault().getStringSecret("${vault.gaitkeeper-key}")) {
            // Without a vault the expression itself comes back.
            Optional<String> found = secret.get().filter(text -> text.stripLeading().startsWith("{"));
            if (found.isPresent()) {
                return found.get();
            }
        }
        Optional<String> named = environmentName(realm).map(System::getenv);
        if (named.isPresent()) {
            return named.get();
        }
        if (!realm.matches("[A-Za-z0-9_-][A-Za-z0-9._-]*")) {
            throw new IOException("a realm of this name has no key file");
        }
        return Files.readString(keyDirectory.resolve(realm + ".jwk"));
    }

    /** Where a realm's key stands in the environment. Other names would have to share: a.b and a-b, Main and main. */
    static Optional<String> environmentName(String realm) {
        return realm.matches("[a-z0-9]+") ? Optional.of("GAITKEEPER_KEY_" + realm.toUpperCase(Locale.ROOT)) : Optional.empty();
    }

    private static String bare(String url) {
        return url.endsWith("/") ? url.substring(0, url.length() - 1) : url;
    }
}
