package org.gaitkeeper.keycloak.login;

import java.util.List;
import org.keycloak.Config;
import org.keycloak.authentication.AuthenticatorFactory;
import org.keycloak.models.AuthenticationExecutionModel.Requirement;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.provider.ProviderConfigProperty;

/** What the factories of our executions have in common. */
abstract class ExecutionFactory implements AuthenticatorFactory {
    static final Requirement[] CHOICES = {Requirement.REQUIRED, Requirement.DISABLED};

    private final String id;
    private final String title;
    private final String help;

    ExecutionFactory(String id, String title, String help) {
        this.id = id;
        this.title = title;
        this.help = help;
    }

    /** A property. Every key that a configuration may hold must be declared, or the server masks it and a re-import breaks. */
    static ProviderConfigProperty property(String name, String label, String help, String standard, String... options) {
        String type = options.length == 0 ? ProviderConfigProperty.STRING_TYPE : ProviderConfigProperty.LIST_TYPE;
        ProviderConfigProperty property = new ProviderConfigProperty(name, label, help, type, standard);
        property.setOptions(List.of(options));
        return property;
    }

    @Override
    public String getId() {
        return id;
    }

    @Override
    public String getDisplayType() {
        return title;
    }

    @Override
    public String getHelpText() {
        return help;
    }

    @Override
    public String getReferenceCategory() {
        return null;
    }

    @Override
    public boolean isConfigurable() {
        return !getConfigProperties().isEmpty();
    }

    @Override
    public Requirement[] getRequirementChoices() {
        return CHOICES.clone();
    }

    @Override
    public boolean isUserSetupAllowed() {
        return false;
    }

    @Override
    public List<ProviderConfigProperty> getConfigProperties() {
        return List.of();
    }

    @Override
    public void init(Config.Scope scope) {
        // Only one of them has settings of the server.
    }

    @Override
    public void postInit(KeycloakSessionFactory factory) {
        // Nothing to do.
    }

    @Override
    public void close() {
        // Nothing is held.
    }
}
