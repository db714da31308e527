package org.gaitkeeper.keycloak.login;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.gaitkeeper.keycloak.sidecar.Action;
import org.gaitkeeper.keycloak.sidecar.Captures;
import org.gaitkeeper.keycloak.sidecar.Outcome;
import org.keycloak.events.EventBuilder;
import org.keycloak.http.HttpRequest;
import org.keycloak.models.RealmModel;
import org.keycloak.sessions.AuthenticationSessionModel;

/** What our executions leave for each other, for the events and for the session. */
record LoginNotes(AuthenticationSessionModel login) {
    private static final Map<String, String> DETAILS = Map.of(
        Names.ACTION, Names.DETAIL_ACTION,
        Names.DECISION, Names.DETAIL_DECISION,
        Names.SOURCE, Names.DETAIL_SOURCE,
        Names.RISK, Names.DETAIL_RISK,
        Names.UNMET, Names.DETAIL_UNMET);

    /** Whether a program asks for tokens (a direct grant): there is no page to show then. */
    static boolean isWithoutPages(HttpRequest request) {
        return request.getUri().getPath().endsWith("/protocol/openid-connect/token");
    }

    /** Note the beginning of this attempt, once: it bounds what a capture may claim. */
    void start() {
        if (login.getAuthNote(Names.STARTED) == null) {
            login.setAuthNote(Names.STARTED, Long.toString(System.currentTimeMillis() / 1000));
        }
    }

    Long startedAt() {
        String noted = login.getAuthNote(Names.STARTED);
        return noted == null ? null : Long.valueOf(noted);
    }

    /** Keep a page's capture for the decision at a later page. Return false when it is dropped, for there is no room. */
    boolean carry(String capture) {
        List<String> kept = carried();
        if (capture == null || capture.isEmpty() || kept.contains(capture)) {
            return true;
        }
        if (!Captures.canBeCarried(capture, kept)) {
            return false;
        }
        login.setAuthNote(Names.CARRIED + kept.size(), capture);
        return true;
    }

    List<String> carried() {
        List<String> kept = new ArrayList<>();
        for (String one; (one = login.getAuthNote(Names.CARRIED + kept.size())) != null; ) {
            kept.add(one);
        }
        return kept;
    }

    /** A capture serves one decision; then it is nowhere any more. */
    void forgetCarried() {
        for (int number = carried().size() - 1; number >= 0; number--) {
            login.removeAuthNote(Names.CARRIED + number);
        }
    }

    void decided(Outcome outcome) {
        login.setAuthNote(Names.ACTION, outcome.action().word());
        login.setAuthNote(Names.SOURCE, outcome.source());
        login.setAuthNote(Names.RISK, outcome.riskLevel());
        if (outcome.decisionId() != null) {
            login.setAuthNote(Names.DECISION, outcome.decisionId());
        }
        if (outcome.unmet()) {
            login.setAuthNote(Names.UNMET, "true");
        }
        DETAILS.forEach((note, detail) -> {
            if (login.getAuthNote(note) != null) {
                login.setUserSessionNote(detail, login.getAuthNote(note));
            }
        });
    }

    /** Return the action of this login; null when no decision was made. */
    Action action() {
        return Action.of(login.getAuthNote(Names.ACTION));
    }

    /** Whether somebody else typed, and there was no second factor to ask for. */
    boolean isUnmet() {
        return login.getAuthNote(Names.UNMET) != null;
    }

    /** Whether none of our executions ran in this login. */
    boolean isUntouched() {
        return startedAt() == null && action() == null;
    }

    /** Note that this login was denied; false when that was so already. */
    boolean deny() {
        boolean first = login.getAuthNote(Names.DENIED) == null;
        login.setAuthNote(Names.DENIED, "true");
        return first;
    }

    String decision() {
        return login.getAuthNote(Names.DECISION);
    }

    /** Put what was decided on an event. Details do not outlive a request, so every request that makes an event does it. */
    void describe(EventBuilder event) {
        DETAILS.forEach((note, detail) -> {
            if (login.getAuthNote(note) != null) {
                event.detail(detail, login.getAuthNote(note));
            }
        });
    }

    /** As {@link #describe(EventBuilder)}, for the event that ends a login: also whether a second factor was passed in it. */
    void describe(EventBuilder event, RealmModel realm) {
        describe(event);
        if (decision() != null) {
            event.detail(Names.DETAIL_FACTOR, Boolean.toString(Persons.passedSecondFactor(realm, login)));
        }
    }
}
