package org.gaitkeeper.keycloak.login;

import org.keycloak.authentication.AuthenticationFlowContext;
import org.keycloak.authentication.Authenticator;
import org.keycloak.authentication.authenticators.browser.OTPFormAuthenticator;
import org.keycloak.authentication.authenticators.browser.OTPFormAuthenticatorFactory;
import org.keycloak.models.KeycloakSession;

/** Keycloak's own one-time code form, whose events also tell the decision that asked for it. */
public final class OtpFactory extends OTPFormAuthenticatorFactory {
    static final String ID = "gaitkeeper-otp-form";
    private static final Otp OTP = new Otp();

    @Override
    public String getId() {
        return ID;
    }

    @Override
    public String getDisplayType() {
        return "OTP Form (behavior)";
    }

    @Override
    public Authenticator create(KeycloakSession session) {
        return OTP;
    }

    private static final class Otp extends OTPFormAuthenticator {
        @Override
        public void action(AuthenticationFlowContext context) {
            new LoginNotes(context.getAuthenticationSession()).describe(context.getEvent());
            super.action(context);
        }
    }
}
