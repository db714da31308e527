package org.gaitkeeper.keycloak.login;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.gaitkeeper.keycloak.sidecar.Connection;
import org.gaitkeeper.keycloak.sidecar.NoAnswer;
import org.gaitkeeper.keycloak.sidecar.Reports;
import org.jboss.logging.Logger;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.utils.KeycloakModelUtils;

/** What is done once when the server has started, on a thread of its own: nobody waits for it, and it may fail. */
final class AtStart {
    private static final Logger LOG = Logger.getLogger(AtStart.class);
    private static final Duration DEADLINE = Duration.ofSeconds(2);
    private static final int ROUNDS = 3;
    private static final int MOST_REALMS = 50;

    private AtStart() { }

    static void run(KeycloakSessionFactory factory) {
        Thread thread = new Thread(() -> {
            try {
                List<Runnable> calls = new ArrayList<>();
                KeycloakModelUtils.runJobInTransaction(factory, session -> calls.addAll(prepare(session)));
                calls.forEach(Runnable::run); // outside the transaction: no connection to the database waits for a sidecar
            } catch (RuntimeException failed) {
                LOG.warnf("not everything could be prepared: %s", failed.getClass().getSimpleName());
            }
        }, "gaitkeeper-start");
        thread.setDaemon(true);
        thread.start();
    }

    private static List<Runnable> prepare(KeycloakSession session) {
        List<Runnable> calls = new ArrayList<>();
        session.realms().getRealmsStream().filter(RealmSidecar::isConfigured).limit(MOST_REALMS).toList()
            .forEach(realm -> prepare(session, realm, calls));
        return calls;
    }

    private static void prepare(KeycloakSession session, RealmModel realm, List<Runnable> calls) {
        RealmSidecar sidecar = RealmSidecar.of(realm);
        session.getContext().setRealm(realm); // users and vaults are looked for in the session's realm
        try {
            Connection connection = sidecar.connect(session, realm);
            List<Reports.Report> again = Recovery.reports(session, realm);
            calls.add(() -> {
                again.forEach(sidecar.reports::repeat);
                for (int round = 0; round < ROUNDS; round++) {
                    sidecar.client.warm(connection, DEADLINE);
                }
            });
        } catch (NoAnswer unconfigured) {
            LOG.warnf("realm %s: %s", realm.getName(), unconfigured.getMessage());
        } catch (RuntimeException failed) { // the other realms are prepared all the same
            LOG.warnf(failed, "realm %s: what was not reported before the start cannot be found", realm.getName());
        } finally {
            session.getContext().setRealm(null);
        }
    }
}
