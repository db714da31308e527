package org.gaitkeeper.keycloak.login;

import org.keycloak.authentication.AuthenticationFlowContext;
import org.keycloak.authentication.Authenticator;
import org.keycloak.authentication.authenticators.browser.WebAuthnAuthenticator;
import org.keycloak.authentication.authenticators.browser.WebAuthnAuthenticatorFactory;
import org.keycloak.models.KeycloakSession;

/** Keycloak's own security key form, whose events also tell the decision that asked for it. */
public final class SecurityKeyFactory extends WebAuthnAuthenticatorFactory {
    static final String ID = "gaitkeeper-webauthn";

    @Override
    public String getId() {
        return ID;
    }

    @Override
    public String getDisplayType() {
        return "WebAuthn Authenticator (behavior)";
    }

    @Override
    public Authenticator create(KeycloakSession session) {
        return new SecurityKey(session);
    }

    private static final class SecurityKey extends WebAuthnAuthenticator {
        private SecurityKey(KeycloakSession session) {
            super(session);
        }

        @Override
        public void action(AuthenticationFlowContext context) {
            new LoginNotes(context.getAuthenticationSession()).describe(context.getEvent());
            super.action(context);
        }
    }
}
