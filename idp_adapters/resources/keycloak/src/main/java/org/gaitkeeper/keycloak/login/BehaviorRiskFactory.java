package org.gaitkeeper.keycloak.login;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.keycloak.Config;
import org.keycloak.authentication.AuthenticationFlowContext;
import org.keycloak.authentication.Authenticator;
import org.keycloak.models.AuthenticatorConfigModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.models.utils.PostMigrationEvent;
import org.keycloak.provider.ProviderConfigProperty;

/** Factory of {@link BehaviorRisk}. */
public final class BehaviorRiskFactory extends ExecutionFactory {
    static final String ID = "gaitkeeper-risk";
    static final String STEP = "step";
    static final String DECIDE = "decide";
    static final String CARRY = "carry";
    static final String DEADLINE = "deadlineMs";
    static final String FAIL_MODE = "failMode";
    static final String WITHOUT_FACTOR = "withoutSecondFactor";
    static final String ON_SSO = "onSso";
    static final String SESSION = "session";
    static final String ASK = "ask";
    static final String MEMBERSHIPS = "memberships";
    static final String SEND = "send";
    static final String OMIT = "omit";
    private static final long SHORTEST_MS = 20;
    private static final long LONGEST_MS = 2_000;
    private static final long DEADLINE_MS = 250;

    private static final List<ProviderConfigProperty> PROPERTIES = List.of(
        property(STEP, "What this step does", "decide: ask the sidecar, after the login forms. carry: note the beginning (before the forms)"
            + " or keep the capture of a page (right after the user name form).", DECIDE, DECIDE, CARRY),
        property(DEADLINE, "Deadline in milliseconds", "The longest that a login waits for the sidecar, 20 to 2000.", Long.toString(DEADLINE_MS)),
        property(FAIL_MODE, "Without an answer", "open: log in. challenge: ask for the second factor. closed: deny. A client's attribute "
            + Names.CLIENT_FAIL_MODE + " wins.", "challenge", "open", "challenge", "closed"),
        property(WITHOUT_FACTOR, "Users without second factor", "What a challenge becomes for them. A client's attribute "
            + Names.CLIENT_WITHOUT_FACTOR + " wins.", "allow", "allow", "deny"),
        property(ON_SSO, "In a running session", "ask: ask the sidecar (action session_check); the policy needs a rule for it, as the"
            + " shipped ones have. session: the decision with which the session began stands.", ASK, ASK, SESSION),
        property(MEMBERSHIPS, "Roles and groups", "send: the person's own realm roles and groups go along, for policies that look at"
            + " them. omit: they do not.", SEND, SEND, OMIT),
        property("default.reference.value", "Authenticator reference (amr)", "Empty by default: behaviour is no factor.", null),
        property("default.reference.maxAge", "Authenticator reference max age", "Seconds for which the reference is valid.", null));

    public BehaviorRiskFactory() {
        super(ID, "Behavior risk", "Asks Gaitkeeper whether the login was typed by the account's owner.");
    }

    /** Return the execution's configuration with the defaults filled in. */
    static Map<String, String> config(AuthenticationFlowContext context) {
        Map<String, String> config = new HashMap<>();
        for (ProviderConfigProperty property : PROPERTIES) {
            config.put(property.getName(), (String) property.getDefaultValue());
        }
        AuthenticatorConfigModel set = context.getAuthenticatorConfig();
        if (set != null && set.getConfig() != null) {
            config.putAll(set.getConfig());
        }
        return config;
    }

    static long deadline(Map<String, String> config) {
        try {
            return Math.max(SHORTEST_MS, Math.min(LONGEST_MS, Long.parseLong(config.get(DEADLINE))));
        } catch (NumberFormatException wrong) {
            return DEADLINE_MS;
        }
    }

    @Override
    public List<ProviderConfigProperty> getConfigProperties() {
        return PROPERTIES;
    }

    @Override
    public Authenticator create(KeycloakSession session) {
        return new BehaviorRisk();
    }

    @Override
    public void init(Config.Scope scope) {
        RealmSidecar.configure(scope);
    }

    @Override
    public void postInit(KeycloakSessionFactory factory) {
        factory.register(event -> {
            if (event instanceof PostMigrationEvent) { // the realms can be read from here on
                AtStart.run(factory);
            }
        });
    }

    @Override
    public void close() {
        RealmSidecar.closeAll();
    }
}
