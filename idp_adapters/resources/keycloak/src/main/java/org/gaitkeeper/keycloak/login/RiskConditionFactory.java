package org.gaitkeeper.keycloak.login;

import java.util.List;
import org.gaitkeeper.keycloak.sidecar.Action;
import org.keycloak.authentication.AuthenticationFlowContext;
import org.keycloak.authentication.Authenticator;
import org.keycloak.authentication.authenticators.conditional.ConditionalAuthenticator;
import org.keycloak.authentication.authenticators.conditional.ConditionalAuthenticatorFactory;
import org.keycloak.models.AuthenticatorConfigModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.provider.ProviderConfigProperty;

/** Condition - behavior risk: whether this login's decision is the named action. */
public final class RiskConditionFactory extends ExecutionFactory implements ConditionalAuthenticatorFactory {
    static final String ID = "gaitkeeper-condition";
    static final String ACTION = "action";
    private static final List<ProviderConfigProperty> PROPERTIES = List.of(
        property(ACTION, "Decision", "The sub-flow runs when Behavior risk decided this. Without any decision, step_up is true.",
            Action.STEP_UP.word(), Action.STEP_UP.word(), Action.DENY.word(), Action.ALLOW.word()));
    private static final Condition CONDITION = new Condition();

    public RiskConditionFactory() {
        super(ID, "Condition - behavior risk", "Runs the sub-flow for one of Gaitkeeper's decisions.");
    }

    @Override
    public List<ProviderConfigProperty> getConfigProperties() {
        return PROPERTIES;
    }

    @Override
    public Authenticator create(KeycloakSession session) {
        return CONDITION;
    }

    @Override
    public ConditionalAuthenticator getSingleton() {
        return CONDITION;
    }

    private static final class Condition implements ConditionalAuthenticator {
        @Override
        public boolean matchCondition(AuthenticationFlowContext context) {
            AuthenticatorConfigModel set = context.getAuthenticatorConfig();
            String wanted = set == null ? null : set.getConfig().get(ACTION);
            Action decided = new LoginNotes(context.getAuthenticationSession()).action();
            // A flow in which Behavior risk did not run must ask for more, not for less.
            return (decided == null ? Action.STEP_UP : decided).word().equals(wanted == null ? Action.STEP_UP.word() : wanted);
        }

        @Override
        public void action(AuthenticationFlowContext context) {
            // Conditions have no page.
        }

        @Override
        public boolean requiresUser() {
            return false;
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
