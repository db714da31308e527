package org.gaitkeeper.keycloak.login;

import java.util.Set;
import org.keycloak.authentication.RequiredActionContext.KcActionStatus;
import org.keycloak.models.Constants;
import org.keycloak.models.UserModel;
import org.keycloak.services.managers.AuthenticationManager;
import org.keycloak.sessions.AuthenticationSessionModel;

/**
 * The pages on which a second factor is set up. Who typed like somebody else, and could not be asked for a factor, must not get
 * there: the thief of a password would set up his own and be the owner from then on. Without any mismatch nobody is kept away,
 * or people without a factor would never come to one.
 */
final class NewFactors {
    private static final Set<String> ACTIONS = Set.of("CONFIGURE_TOTP", "webauthn-register", "webauthn-register-passwordless",
        "CONFIGURE_RECOVERY_AUTHN_CODES");

    private NewFactors() { }

    /** Whether the person would have to set one up in this login: that cannot be put off, so the login ends. */
    static boolean areDue(UserModel user) {
        return user.getRequiredActionsStream().anyMatch(ACTIONS::contains);
    }

    /** Take away what an application or an earlier step of this login asked for. The application is told {@code error}. */
    static void withhold(AuthenticationSessionModel login) {
        ACTIONS.forEach(login::removeRequiredAction);
        String wanted = login.getClientNote(Constants.KC_ACTION);
        if (wanted != null && ACTIONS.contains(wanted.split(":", 2)[0])) {
            AuthenticationManager.setKcActionStatus(wanted, KcActionStatus.ERROR, login);
            login.removeClientNote(Constants.KC_ACTION);
        }
    }
}
