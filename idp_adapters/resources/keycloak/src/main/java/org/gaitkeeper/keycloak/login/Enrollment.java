package org.gaitkeeper.keycloak.login;

import java.util.LinkedHashMap;
import java.util.Map;
import org.gaitkeeper.keycloak.sidecar.Captures;
import org.gaitkeeper.keycloak.sidecar.Consent;
import org.gaitkeeper.keycloak.sidecar.Reports;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.sessions.AuthenticationSessionModel;

/**
 * How a new password was typed, at a registration or a change: the beginning of a template. Nothing is scored there, and it leaves the
 * server only for a person who has agreed; until then it waits in the login, and ends with it.
 */
final class Enrollment {
    /** Where a password was made; the words are the hook's. */
    static final String REGISTRATION = "registration";
    static final String PASSWORD_CHANGED = "password_changed";

    private Enrollment() { }

    /** Keep a page's capture until the person has answered. A form that is posted again replaces what it said before. */
    static void keep(RealmModel realm, AuthenticationSessionModel login, String capture, String occasion) {
        login.removeAuthNote(Names.NEW_PASSWORD);
        if (Captures.isUsable(capture)) {
            login.setAuthNote(Names.NEW_PASSWORD, capture);
            login.setAuthNote(Names.OCCASION, occasion);
        } else if (capture != null && !capture.isEmpty()) {
            RealmSidecar.of(realm).client.countDropped();
        }
    }

    /** The person has answered: send what is kept when they agree, and forget it in either case. Not yet answered: it waits on. */
    static void answered(KeycloakSession session, RealmModel realm, UserModel user, AuthenticationSessionModel login, Consent consent) {
        String capture = login.getAuthNote(Names.NEW_PASSWORD);
        if (capture == null || consent == null) {
            return;
        }
        login.removeAuthNote(Names.NEW_PASSWORD);
        if (consent.given()) {
            RealmSidecar.tellCheap(session, realm, new Reports.Report("/v1/enrollments", body(user, login, capture, consent)));
        }
    }

    private static Map<String, Object> body(UserModel user, AuthenticationSessionModel login, String capture, Consent consent) {
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("subject", Map.of("id", user.getId(), "properties", Map.of("name", user.getUsername())));
        body.put("client", login.getClient().getClientId());
        body.put("attempt", login.getTabId() + Names.NEW_PASSWORD_ATTEMPT);
        Long started = new LoginNotes(login).startedAt();
        if (started != null) {
            body.put("attempt_started_at", started);
        }
        body.put("capture", capture);
        body.put("consent", consent.told());
        body.put("occasion", login.getAuthNote(Names.OCCASION));
        return body;
    }
}
