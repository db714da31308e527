package org.gaitkeeper.keycloak.sidecar;

import java.util.Locale;

/** What is to happen with a login. The words are those of the hook. */
public enum Action {
    ALLOW, STEP_UP, DENY;

    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** Return the action of a word; null for anything else. */
    public static Action of(Object word) {
        for (Action action : values()) {
            if (action.word().equals(word)) {
                return action;
            }
        }
        return null;
    }
}
