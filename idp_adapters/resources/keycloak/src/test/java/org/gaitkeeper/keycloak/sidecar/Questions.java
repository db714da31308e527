package org.gaitkeeper.keycloak.sidecar;

import java.util.List;

/** Questions for tests. */
final class Questions {
    private Questions() { }

    /** Ann's login at an application, of which little is known. */
    static Question plain() {
        return about(List.of(), null);
    }

    static Question about(List<String> captures, List<String> names) {
        return new Question("login", new Question.Subject("u", "ann", "shore", names, names), "app",
            new Question.Attempt("attempt-1", null, captures, "sid", null), null, true, Action.DENY,
            new Question.Surroundings("192.0.2.1", null, null, false));
    }
}
