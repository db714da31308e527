package org.gaitkeeper.keycloak.login;

import java.util.Set;
import org.gaitkeeper.keycloak.sidecar.Consent;
import org.keycloak.models.AuthenticationExecutionModel;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.credential.OTPCredentialModel;
import org.keycloak.models.credential.WebAuthnCredentialModel;
import org.keycloak.sessions.AuthenticationSessionModel;
import org.keycloak.sessions.CommonClientSessionModel.ExecutionStatus;

/** What Keycloak knows of a person that matters to a decision. */
final class Persons {
    private static final Set<String> SECOND_FACTORS =
        Set.of("auth-otp-form", "webauthn-authenticator", "auth-recovery-authn-code-form", "direct-grant-validate-otp");

    private Persons() { }

    /** Whether the person has a factor that the step-up of our flow can ask for. */
    static boolean haveSecondFactor(UserModel user) {
        return user.credentialManager().isConfiguredFor(OTPCredentialModel.TYPE)
            || user.credentialManager().isConfiguredFor(WebAuthnCredentialModel.TYPE_TWOFACTOR);
    }

    static Consent consent(UserModel user) {
        return Consent.read(user.getFirstAttribute(Names.CONSENT));
    }

    /** Whether a second factor was passed in this very login: what the server itself recorded of its executions. */
    static boolean passedSecondFactor(RealmModel realm, AuthenticationSessionModel login) {
        return login.getExecutionStatus().entrySet().stream().anyMatch(done -> {
            AuthenticationExecutionModel execution = realm.getAuthenticationExecutionById(done.getKey());
            return done.getValue() == ExecutionStatus.SUCCESS && execution != null && !execution.isAuthenticatorFlow()
                && SECOND_FACTORS.contains(execution.getAuthenticator());
        });
    }
}
