package org.gaitkeeper.keycloak.login;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.gaitkeeper.keycloak.sidecar.Consent;
import org.gaitkeeper.keycloak.sidecar.Reports;
import org.keycloak.events.Event;
import org.keycloak.events.EventStoreProvider;
import org.keycloak.events.EventType;
import org.keycloak.events.admin.AdminEvent;
import org.keycloak.events.admin.OperationType;
import org.keycloak.events.admin.ResourceType;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.credential.PasswordCredentialModel;

/**
 * Reports made again from the realm's stored events, for a server that ended before it could deliver them.
 *
 * <p>Nobody knows which of them arrived, so all of a day are repeated; the sidecar takes each once: a decision closes once, a
 * changed password that it has heard of finds nothing older to forget, and an answer about consent says when it was given.
 */
final class Recovery {
    private static final long SECONDS = 86_400;
    private static final int MOST = 500;

    private record Found(long at, Reports.Report report) { }

    private Recovery() { }

    /** Return the reports of the last day, oldest first. */
    static List<Reports.Report> reports(KeycloakSession session, RealmModel realm) {
        EventStoreProvider store = session.getProvider(EventStoreProvider.class);
        if (store == null || !realm.isEventsEnabled()) {
            return List.of();
        }
        long since = System.currentTimeMillis() - SECONDS * 1000;
        List<Found> found = new ArrayList<>();
        try (Stream<Event> events = store.createQuery().realm(realm.getId()).type(types()).fromDate(since).maxResults(MOST).getResultStream()) {
            Set<String> answered = new HashSet<>();
            events.forEach(event -> add(found, event.getTime(), report(session, realm, event, answered)));
        }
        try (Stream<AdminEvent> events = store.createAdminQuery().realm(realm.getId()).resourceType(ResourceType.USER).fromTime(since)
            .maxResults(MOST).getResultStream()) {
            events.forEach(event -> add(found, event.getTime(), report(session, realm, event)));
        }
        Collections.sort(found, Comparator.comparingLong(Found::at));
        return found.stream().map(Found::report).toList();
    }

    @SuppressWarnings("deprecation") // UPDATE_PASSWORD: still the only event of some paths
    private static EventType[] types() {
        return new EventType[] {EventType.LOGIN, EventType.UPDATE_PASSWORD, EventType.UPDATE_CREDENTIAL, EventType.DELETE_ACCOUNT,
            EventType.CUSTOM_REQUIRED_ACTION};
    }

    @SuppressWarnings("deprecation")
    private static Reports.Report report(KeycloakSession session, RealmModel realm, Event event, Set<String> answered) {
        Map<String, String> details = event.getDetails() == null ? Map.of() : event.getDetails();
        return switch (event.getType()) {
            case LOGIN -> {
                String decision = details.get(Names.DETAIL_DECISION);
                boolean factor = Boolean.parseBoolean(details.get(Names.DETAIL_FACTOR));
                yield decision == null ? null : SidecarEvents.completion(decision, factor, event.getSessionId());
            }
            case UPDATE_PASSWORD -> passwordChanged(event.getUserId(), event.getTime());
            case UPDATE_CREDENTIAL -> PasswordCredentialModel.TYPE.equals(details.get("credential_type"))
                ? passwordChanged(event.getUserId(), event.getTime()) : null;
            case CUSTOM_REQUIRED_ACTION -> details.containsKey(Names.DETAIL_CONSENT) && answered.add(event.getUserId())
                ? consent(session, realm, event.getUserId(), Boolean.parseBoolean(details.get(Names.DETAIL_FACTOR))) : null;
            default -> deleted(session, realm, event.getUserId());
        };
    }

    /** The person's answer as it stands now: events come newest first, and only the newest of them counts. */
    private static Reports.Report consent(KeycloakSession session, RealmModel realm, String id, boolean secondFactor) {
        UserModel user = id == null ? null : session.users().getUserById(realm, id);
        Consent consent = user == null ? null : Persons.consent(user);
        return consent == null ? null : ConsentAction.report(id, consent, secondFactor);
    }

    private static Reports.Report report(KeycloakSession session, RealmModel realm, AdminEvent event) {
        String[] path = event.getResourcePath() == null ? new String[0] : event.getResourcePath().split("/");
        if (path.length == 2 && event.getOperationType() == OperationType.DELETE) {
            return deleted(session, realm, path[1]);
        }
        return path.length == 3 && path[2].equals("reset-password") ? passwordChanged(path[1], event.getTime()) : null;
    }

    private static Reports.Report passwordChanged(String user, long time) {
        if (user == null) {
            return null;
        }
        Map<String, Object> body = new HashMap<>(SidecarEvents.event("password_changed", user, null).body());
        body.put("at", time / 1000.0);
        return new Reports.Report("/v1/events", body);
    }

    /** Who is there again, by an import for example, is not to be forgotten. */
    private static Reports.Report deleted(KeycloakSession session, RealmModel realm, String user) {
        boolean gone = user != null && session.users().getUserById(realm, user) == null;
        return gone ? SidecarEvents.event("account_deleted", user, null) : null;
    }

    private static void add(List<Found> found, long at, Reports.Report report) {
        if (report != null) {
            found.add(new Found(at, report));
        }
    }
}
