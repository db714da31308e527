package org.gaitkeeper.keycloak.login;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.gaitkeeper.keycloak.sidecar.Reports;
import org.keycloak.events.Errors;
import org.keycloak.events.Event;
import org.keycloak.events.EventListenerProvider;
import org.keycloak.events.admin.AdminEvent;
import org.keycloak.events.admin.ResourceType;
import org.keycloak.http.HttpRequest;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.credential.PasswordCredentialModel;
import org.keycloak.sessions.AuthenticationSessionModel;

/**
 * Turns Keycloak's events into reports: how a login ended, that a password was wrong or changed, that a session ended.
 *
 * <p>Nothing is sent here; reports are queued when the transaction has been committed. An impersonation brings no decision
 * with it, so nothing can be learned of it.
 */
final class SidecarEvents implements EventListenerProvider {
    private final KeycloakSession session;
    /** One password change makes two events (the old name and the new one): it is reported once. */
    private final Set<String> told = new HashSet<>();

    SidecarEvents(KeycloakSession session) {
        this.session = session;
    }

    static Reports.Report event(String type, String user, String sid) {
        Map<String, Object> body = new HashMap<>(Map.of("type", type, "subject", Map.of("id", user)));
        if (sid != null) {
            body.put("sid", sid);
        }
        return new Reports.Report("/v1/events", body);
    }

    static Reports.Report completion(String decision, boolean secondFactor, String sid) {
        Map<String, Object> body = new HashMap<>(Map.of("outcome", "succeeded", "second_factor", secondFactor));
        if (sid != null) {
            body.put("sid", sid);
        }
        return new Reports.Report(completionPath(decision), body);
    }

    static String completionPath(String decision) {
        return "/v1/decisions/" + decision + "/completion";
    }

    @Override
    @SuppressWarnings("deprecation") // UPDATE_PASSWORD: still the only event of some paths
    public void onEvent(Event event) {
        if (event.getUserId() == null) {
            return;
        }
        switch (event.getType()) {
            case LOGIN -> completed(event);
            case LOGIN_ERROR -> refused(event);
            case LOGOUT -> tell(event.getRealmId(), event("logout", event.getUserId(), event.getSessionId()));
            case UPDATE_PASSWORD -> passwordChangedByUser(event);
            case UPDATE_CREDENTIAL -> {
                if (PasswordCredentialModel.TYPE.equals(detail(event, "credential_type"))) {
                    passwordChangedByUser(event);
                }
            }
            default -> { }
        }
    }

    @Override
    public void onEvent(AdminEvent event, boolean includeRepresentation) {
        String[] path = event.getResourcePath() == null ? new String[0] : event.getResourcePath().split("/");
        if (event.getResourceType() == ResourceType.USER && path.length == 3 && path[2].equals("reset-password")) {
            passwordChanged(event.getRealmId(), path[1]);
        }
    }

    /** A login is really over: only now may the sidecar learn from it. */
    private void completed(Event event) {
        AuthenticationSessionModel login = session.getContext().getAuthenticationSession();
        RealmModel realm = session.realms().getRealm(event.getRealmId());
        String decision = login == null ? null : new LoginNotes(login).decision();
        if (realm == null || decision == null || !told.add("login " + decision)) {
            return;
        }
        RealmSidecar.tell(session, realm, completion(decision, Persons.passedSecondFactor(realm, login), event.getSessionId()));
    }

    /**
     * A wrong password, from a browser that the sidecar knows: without its cookie nothing would follow from it. A wrong second factor
     * is none: the password before it was right, and the login may still succeed. Its event tells the decision, and only the event
     * can tell: Keycloak makes errors in a session of their own, where the login is not known.
     */
    private void refused(Event event) {
        RealmModel realm = session.realms().getRealm(event.getRealmId());
        String device = DeviceCookie.sent(session);
        boolean wrongPassword = Errors.INVALID_USER_CREDENTIALS.equals(event.getError()) && detail(event, Names.DETAIL_ACTION) == null;
        if (realm == null || device == null || !wrongPassword) {
            return;
        }
        Map<String, Object> body = new HashMap<>(event("login_failed", event.getUserId(), null).body());
        body.put("device", device);
        RealmSidecar.tellCheap(session, realm, new Reports.Report("/v1/events", body));
    }

    private void passwordChanged(String realmId, String user) {
        if (told.add("password " + user)) {
            tell(realmId, event("password_changed", user, null));
        }
    }

    /** The person changed it on Keycloak's own page: how it was typed there is the beginning of its new template. */
    private void passwordChangedByUser(Event event) {
        passwordChanged(event.getRealmId(), event.getUserId());
        AuthenticationSessionModel login = session.getContext().getAuthenticationSession();
        RealmModel realm = session.realms().getRealm(event.getRealmId());
        UserModel user = login == null || realm == null ? null : login.getAuthenticatedUser();
        if (user == null || !user.getId().equals(event.getUserId()) || !RealmSidecar.isConfigured(realm)
            || Persons.areImpersonated(session, realm, login) || !told.add("typed " + user.getId())) {
            return;
        }
        HttpRequest request = session.getContext().getHttpRequest();
        if (request == null || !"POST".equals(request.getHttpMethod())) {
            return;
        }
        String capture = request.getDecodedFormParameters().getFirst(Names.FIELD); // of the form, our field alone
        Enrollment.keep(realm, login, capture, Enrollment.PASSWORD_CHANGED);
        Enrollment.answered(session, realm, user, login, Persons.consent(user));
    }

    private void tell(String realmId, Reports.Report report) {
        RealmModel realm = session.realms().getRealm(realmId);
        if (realm != null) {
            RealmSidecar.tell(session, realm, report);
        }
    }

    private static String detail(Event event, String name) {
        return event.getDetails() == null ? null : event.getDetails().get(name);
    }

    @Override
    public void close() {
        // Nothing is held.
    }
}
