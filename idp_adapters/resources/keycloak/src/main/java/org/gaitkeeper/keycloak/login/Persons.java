package org.gaitkeeper.keycloak.login;

import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.gaitkeeper.keycloak.sidecar.Consent;
import org.gaitkeeper.keycloak.sidecar.Question;
import org.keycloak.models.AuthenticationExecutionModel;
import org.keycloak.models.ImpersonationSessionNote;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.RoleModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.models.credential.OTPCredentialModel;
import org.keycloak.models.credential.WebAuthnCredentialModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.keycloak.sessions.AuthenticationSessionModel;
import org.keycloak.sessions.CommonClientSessionModel.ExecutionStatus;

/** What Keycloak knows of a person that matters to a decision. */
final class Persons {
    private static final Set<String> SECOND_FACTORS = Set.of("auth-otp-form", "webauthn-authenticator", "auth-recovery-authn-code-form",
        "direct-grant-validate-otp", OtpFactory.ID, SecurityKeyFactory.ID);
    private static final int MOST_NAMES = 256;
    private static final int LONGEST_NAME = 255;
    private static final int MOST_CHARACTERS = 8 * 1024; // of either kind: the request has room for six bytes each

    private Persons() { }

    /** Whether the person has a factor that the step-up of our flow can ask for. */
    static boolean haveSecondFactor(UserModel user) {
        return user.credentialManager().isConfiguredFor(OTPCredentialModel.TYPE)
            || user.credentialManager().isConfiguredFor(WebAuthnCredentialModel.TYPE_TWOFACTOR);
    }

    static Consent consent(UserModel user) {
        return Consent.read(user.getFirstAttribute(Names.CONSENT));
    }

    /** Whom a question is about. {@code memberships}: with the realm roles and groups that the person has directly. */
    static Question.Subject subject(RealmModel realm, UserModel user, boolean memberships) {
        return new Question.Subject(user.getId(), user.getUsername(), realm.getName(),
            memberships ? names(user.getRealmRoleMappingsStream().map(RoleModel::getName)) : null,
            memberships ? names(user.getGroupsStream().map(KeycloakModelUtils::buildGroupPath)) : null);
    }

    /** Return all names, or null when they are too many or too long: a policy must not take a part for the whole. */
    private static List<String> names(Stream<String> all) {
        List<String> names;
        try (all) {
            names = all.limit(MOST_NAMES + 1).sorted().toList();
        }
        boolean fit = names.size() <= MOST_NAMES && names.stream().noneMatch(name -> name.isEmpty() || name.length() > LONGEST_NAME)
            && names.stream().mapToInt(String::length).sum() <= MOST_CHARACTERS;
        return fit ? names : null;
    }

    /**
     * Whether an administrator is in another's session: nothing is decided by, asked of, or learned from what they do there.
     *
     * <p>A running session has the id of its login's root session; the context knows it only in the request of the cookie.
     */
    static boolean areImpersonated(KeycloakSession session, RealmModel realm, AuthenticationSessionModel login) {
        return isImpersonated(session.getContext().getUserSession())
            || isImpersonated(session.sessions().getUserSession(realm, login.getParentSession().getId()));
    }

    static boolean isImpersonated(UserSessionModel running) {
        return running != null && running.getNote(ImpersonationSessionNote.IMPERSONATOR_ID.toString()) != null;
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
