package org.gaitkeeper.keycloak.login;

import org.keycloak.Config;
import org.keycloak.authentication.RequiredActionFactory;
import org.keycloak.authentication.RequiredActionProvider;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;

/** Factory of {@link ConsentAction}. */
public final class ConsentFactory implements RequiredActionFactory {
    static final String ID = "gaitkeeper-consent";
    private static final ConsentAction ACTION = new ConsentAction();

    @Override
    public RequiredActionProvider create(KeycloakSession session) {
        return ACTION;
    }

    @Override
    public String getDisplayText() {
        return "Typing rhythm: consent";
    }

    @Override
    public void init(Config.Scope scope) {
        // The realm says which version of the notice holds.
    }

    @Override
    public void postInit(KeycloakSessionFactory factory) {
        // Nothing to do.
    }

    @Override
    public void close() {
        // Nothing is held.
    }

    @Override
    public String getId() {
        return ID;
    }
}
