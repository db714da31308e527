package org.gaitkeeper.keycloak.login;

import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.gaitkeeper.keycloak.sidecar.Json;
import org.gaitkeeper.keycloak.sidecar.Reports;
import org.keycloak.authentication.AuthenticationFlowContext;
import org.keycloak.authentication.Authenticator;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;

/**
 * Deny: a page that does not tell why, one LOGIN_ERROR with the decision's id, and no brute-force count.
 *
 * <p>Keycloak's own <em>Deny access</em> feeds the brute-force detector, so that a bad sensor would lock people out.
 */
public final class DenyFactory extends ExecutionFactory {
    static final String ID = "gaitkeeper-deny";
    static final String ERROR = "gaitkeeper_denied";
    private static final String MESSAGE = "gaitkeeperDenied";
    private static final Deny DENY = new Deny();

    public DenyFactory() {
        super(ID, "Deny (behavior)", "Refuses the login with a neutral page; does not count as a wrong password.");
    }

    @Override
    public Authenticator create(KeycloakSession session) {
        return DENY;
    }

    private static final class Deny implements Authenticator {
        @Override
        public void authenticate(AuthenticationFlowContext context) {
            LoginNotes notes = new LoginNotes(context.getAuthenticationSession());
            if (notes.deny()) { // a page that is reloaded, or posted to, is no other denial
                notes.describe(context.getEvent());
                context.getEvent().user(context.getUser()).error(ERROR);
                if (notes.decision() != null) {
                    RealmSidecar.tell(context.getSession(), context.getRealm(), new Reports.Report(
                        SidecarEvents.completionPath(notes.decision()), Map.of("outcome", "failed")));
                }
            }
            context.challenge(response(context)); // a failure would feed the brute-force detector
        }

        /** A direct grant has no page: it gets the error of its protocol. */
        private static Response response(AuthenticationFlowContext context) {
            if (!LoginNotes.isWithoutPages(context.getHttpRequest())) {
                return context.form().setError(MESSAGE).createErrorPage(Response.Status.FORBIDDEN);
            }
            Map<String, String> error = Map.of("error", "invalid_grant", "error_description", "Access denied");
            return Response.status(Response.Status.BAD_REQUEST).type(MediaType.APPLICATION_JSON_TYPE)
                .entity(new String(Json.bytes(error), StandardCharsets.UTF_8)).build();
        }

        @Override
        public void action(AuthenticationFlowContext context) {
            authenticate(context); // the page has no form; whoever posts all the same is refused again
        }

        @Override
        public boolean requiresUser() {
            return true;
        }

        @Override
        public boolean configuredFor(KeycloakSession session, RealmModel realm, UserModel user) {
            return true;
        }

        @Override
        public void setRequiredActions(KeycloakSession session, RealmModel realm, UserModel user) {
            // Nothing to set up.
        }

        @Override
        public void close() {
            // Nothing is held.
        }
    }
}
