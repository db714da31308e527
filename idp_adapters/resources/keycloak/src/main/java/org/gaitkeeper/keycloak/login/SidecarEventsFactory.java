package org.gaitkeeper.keycloak.login;

import java.util.Map;
import org.gaitkeeper.keycloak.sidecar.Reports;
import org.keycloak.Config;
import org.keycloak.events.EventListenerProvider;
import org.keycloak.events.EventListenerProviderFactory;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.provider.ServerInfoAwareProviderFactory;

/**
 * Factory of {@link SidecarEvents}; also hears of deleted users, by whichever way they are deleted, and shows the counts on the
 * page <em>Server info</em> of the admin console.
 */
public final class SidecarEventsFactory implements EventListenerProviderFactory, ServerInfoAwareProviderFactory {
    static final String ID = "gaitkeeper-events";

    @Override
    public EventListenerProvider create(KeycloakSession session) {
        return new SidecarEvents(session);
    }

    @Override
    public void init(Config.Scope scope) {
        // The realm says where the sidecar is.
    }

    @Override
    public void postInit(KeycloakSessionFactory factory) {
        factory.register(event -> {
            if (event instanceof UserModel.UserRemovedEvent removed) {
                Reports.Report report = SidecarEvents.event("account_deleted", removed.getUser().getId(), null);
                RealmSidecar.tell(removed.getKeycloakSession(), removed.getRealm(), report);
            } else if (event instanceof RealmModel.RealmRemovedEvent removed) {
                String realm = removed.getRealm().getId();
                removed.getKeycloakSession().getTransactionManager()
                    .enlistAfterCompletion(new AfterCommit(() -> RealmSidecar.forget(realm)));
            }
        });
    }

    @Override
    public Map<String, String> getOperationalInfo() {
        return RealmSidecar.told();
    }

    @Override
    public void close() {
        // The queues end with the executions' factory.
    }

    @Override
    public String getId() {
        return ID;
    }
}
