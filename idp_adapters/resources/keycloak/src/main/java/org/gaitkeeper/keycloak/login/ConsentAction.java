package org.gaitkeeper.keycloak.login;

import jakarta.ws.rs.core.Response;
import java.util.HashMap;
import java.util.Map;
import org.gaitkeeper.keycloak.sidecar.Consent;
import org.gaitkeeper.keycloak.sidecar.Reports;
import org.keycloak.authentication.InitiatedActionSupport;
import org.keycloak.authentication.RequiredActionContext;
import org.keycloak.authentication.RequiredActionProvider;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.sessions.AuthenticationSessionModel;

/**
 * Asks a person whether their typing may be looked at, once a version of the notice. Both answers lead on into the login.
 *
 * <p>Also runs in every login to put the decision on the event that ends it: an event forgets its details with the request.
 */
final class ConsentAction implements RequiredActionProvider {
    private static final String PAGE = "gaitkeeper-consent.ftl";
    private static final String CHOICE = "gaitkeeper_choice";

    @Override
    public InitiatedActionSupport initiatedActionSupport() {
        return InitiatedActionSupport.SUPPORTED;
    }

    @Override
    public void evaluateTriggers(RequiredActionContext context) {
        AuthenticationSessionModel login = context.getAuthenticationSession();
        new LoginNotes(login).describe(context.getEvent(), context.getRealm());
        if (new LoginNotes(login).isUnmet()) {
            NewFactors.withhold(login);
        }
        String version = context.getRealm().getAttribute(Names.CONSENT_VERSION);
        if (version == null || !RealmSidecar.isConfigured(context.getRealm()) || hasNoPage(context, login)) {
            return;
        }
        if (new LoginNotes(login).isUntouched()) { // another client's flow: nothing is looked at there, so nobody is asked
            return;
        }
        Consent chosen = Persons.consent(context.getUser());
        boolean asked = chosen != null && chosen.version().equals(version);
        if (!asked && !isImpersonated(context)) {
            login.addRequiredAction(ConsentFactory.ID);
        }
    }

    /** Where no page can be shown, asking would be refusing: direct grants and silent authentication. */
    private static boolean hasNoPage(RequiredActionContext context, AuthenticationSessionModel login) {
        String prompt = login.getClientNote("prompt");
        return (prompt != null && prompt.contains("none")) || LoginNotes.isWithoutPages(context.getHttpRequest());
    }

    /** An administrator in somebody's session must not answer for them. */
    private static boolean isImpersonated(RequiredActionContext context) {
        return Persons.areImpersonated(context.getSession(), context.getRealm(), context.getAuthenticationSession());
    }

    @Override
    public void requiredActionChallenge(RequiredActionContext context) {
        if (isImpersonated(context)) {
            context.ignore();
            return;
        }
        context.challenge(page(context));
    }

    @Override
    public void processAction(RequiredActionContext context) {
        if (isImpersonated(context)) {
            context.failure();
            return;
        }
        String choice = context.getHttpRequest().getDecodedFormParameters().getFirst(CHOICE);
        if (!"given".equals(choice) && !"refused".equals(choice)) {
            context.challenge(page(context));
            return;
        }
        RealmModel realm = context.getRealm();
        UserModel user = context.getUser();
        Consent consent = new Consent(choice.equals("given"), version(realm), System.currentTimeMillis());
        user.setSingleAttribute(Names.CONSENT, consent.text());
        new LoginNotes(context.getAuthenticationSession()).describe(context.getEvent(), realm);
        context.getEvent().detail(Names.DETAIL_CONSENT, choice);
        boolean factor = Persons.passedSecondFactor(realm, context.getAuthenticationSession());
        context.getEvent().detail(Names.DETAIL_FACTOR, Boolean.toString(factor));
        RealmSidecar.tell(context.getSession(), realm, report(user.getId(), consent, factor));
        Enrollment.answered(context.getSession(), realm, user, context.getAuthenticationSession(), consent);
        context.success();
    }

    static Reports.Report report(String user, Consent consent, boolean secondFactor) {
        Map<String, Object> told = new HashMap<>(consent.told());
        told.put("subject", Map.of("id", user));
        told.put("second_factor", secondFactor);
        return new Reports.Report("/v1/subjects/consent", told);
    }

    private static Response page(RequiredActionContext context) {
        return context.form().setAttribute("gaitkeeperVersion", version(context.getRealm())).createForm(PAGE);
    }

    private static String version(RealmModel realm) {
        String version = realm.getAttribute(Names.CONSENT_VERSION);
        return version == null || !version.matches("[A-Za-z0-9._-]{1,64}") ? "1" : version;
    }

    @Override
    public void close() {
        // Nothing is held.
    }
}
