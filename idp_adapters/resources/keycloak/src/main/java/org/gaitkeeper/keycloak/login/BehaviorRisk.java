package org.gaitkeeper.keycloak.login;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.gaitkeeper.keycloak.sidecar.Action;
import org.gaitkeeper.keycloak.sidecar.Connection;
import org.gaitkeeper.keycloak.sidecar.Consent;
import org.gaitkeeper.keycloak.sidecar.NoAnswer;
import org.gaitkeeper.keycloak.sidecar.Outcome;
import org.gaitkeeper.keycloak.sidecar.Question;
import org.gaitkeeper.keycloak.sidecar.Verdict;
import org.jboss.logging.Logger;
import org.keycloak.authentication.AuthenticationFlowContext;
import org.keycloak.authentication.AuthenticationFlowError;
import org.keycloak.authentication.Authenticator;
import org.keycloak.models.ClientModel;
import org.keycloak.models.ImpersonationSessionNote;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.sessions.AuthenticationSessionModel;

/**
 * Asks the sidecar about this login, once, and notes the answer for the conditions after it. It never fails a login itself.
 *
 * <p>Of the posted form one field is read, by name: the form also holds the password.
 */
final class BehaviorRisk implements Authenticator {
    private static final Logger LOG = Logger.getLogger(BehaviorRisk.class);

    @Override
    public void authenticate(AuthenticationFlowContext context) {
        LoginNotes notes = new LoginNotes(context.getAuthenticationSession());
        Map<String, String> config = BehaviorRiskFactory.config(context);
        if (config.get(BehaviorRiskFactory.STEP).equals(BehaviorRiskFactory.CARRY)) {
            notes.start();
            notes.carry(capture(context));
            context.success();
            return;
        }
        if (context.getUser() == null) {
            LOG.error("Behavior risk stands before the user is known: it belongs after the login forms");
            context.failure(AuthenticationFlowError.INTERNAL_ERROR);
            return;
        }
        long began = System.nanoTime();
        notes.decided(outcome(context, notes, config));
        RealmSidecar.of(context.getRealm()).timings.add(System.nanoTime() - began);
        notes.describe(context.getEvent());
        context.success();
    }

    private static Outcome outcome(AuthenticationFlowContext context, LoginNotes notes, Map<String, String> config) {
        UserModel user = context.getUser();
        Consent consent = Persons.consent(user);
        Outcome.Person person = new Outcome.Person(Persons.haveSecondFactor(user), consent != null && consent.given());
        Outcome.Wishes wishes = wishes(context.getAuthenticationSession().getClient(), config);
        UserSessionModel session = context.getSession().getContext().getUserSession();
        boolean again = session != null && session.getUser().getId().equals(user.getId());
        if (again && (isImpersonated(session) || !config.get(BehaviorRiskFactory.ON_SSO).equals(BehaviorRiskFactory.ASK))) {
            return standing(session, wishes, person);
        }
        RealmSidecar sidecar = RealmSidecar.of(context.getRealm());
        try {
            Question question = question(context, notes, consent, person, again);
            notes.forgetCarried();
            Duration deadline = Duration.ofMillis(BehaviorRiskFactory.deadline(config));
            Verdict verdict = sidecar.client.evaluate(connect(sidecar, context), question, deadline);
            return Outcome.of(verdict, wishes, person);
        } catch (NoAnswer none) {
            LOG.warnf("no decision for a login at client %s: %s", client(context), none.getMessage());
            return Outcome.unanswered(wishes, person);
        }
    }

    /** A running session stands on the decision it began with. One that began without any is treated like a silent sidecar. */
    private static Outcome standing(UserSessionModel session, Outcome.Wishes wishes, Outcome.Person person) {
        if (isImpersonated(session) || session.getNote(Names.DETAIL_ACTION) != null) {
            String risk = session.getNote(Names.DETAIL_RISK);
            return new Outcome(Action.ALLOW, null, "session", risk == null ? "unknown" : risk);
        }
        return Outcome.unanswered(wishes, person);
    }

    /** An administrator in another's session: nothing is decided by, or learned from, what they do there. */
    private static boolean isImpersonated(UserSessionModel session) {
        return session.getNote(ImpersonationSessionNote.IMPERSONATOR_ID.toString()) != null;
    }

    private static Connection connect(RealmSidecar sidecar, AuthenticationFlowContext context) throws NoAnswer {
        try {
            return sidecar.connect(context.getSession(), context.getRealm());
        } catch (NoAnswer unconfigured) {
            sidecar.client.count(unconfigured.why());
            throw unconfigured;
        }
    }

    private static Question question(
        AuthenticationFlowContext context, LoginNotes notes, Consent consent, Outcome.Person person, boolean again) {
        AuthenticationSessionModel login = context.getAuthenticationSession();
        List<String> captures = new ArrayList<>(again ? List.of() : notes.carried());
        String posted = again ? null : capture(context);
        if (Question.isUsable(posted) && !captures.contains(posted)) {
            captures.add(posted);
        }
        UserModel user = context.getUser();
        return new Question(
            again ? "session_check" : "login",
            user.getId(),
            user.getUsername(),
            client(context),
            login.getTabId(),
            notes.startedAt(),
            captures,
            login.getParentSession().getId(), // becomes the sid of the tokens
            consent,
            person.secondFactor(),
            "1".equals(context.getHttpRequest().getHttpHeaders().getHeaderString("Sec-GPC")));
    }

    private static String client(AuthenticationFlowContext context) {
        return context.getAuthenticationSession().getClient().getClientId();
    }

    private static Outcome.Wishes wishes(ClientModel client, Map<String, String> config) {
        String failMode = client.getAttribute(Names.CLIENT_FAIL_MODE);
        String without = client.getAttribute(Names.CLIENT_WITHOUT_FACTOR);
        return Outcome.Wishes.of(
            failMode == null ? config.get(BehaviorRiskFactory.FAIL_MODE) : failMode,
            without == null ? config.get(BehaviorRiskFactory.WITHOUT_FACTOR) : without);
    }

    private static String capture(AuthenticationFlowContext context) {
        if (!"POST".equals(context.getHttpRequest().getHttpMethod())) {
            return null;
        }
        return context.getHttpRequest().getDecodedFormParameters().getFirst(Names.FIELD);
    }

    @Override
    public void action(AuthenticationFlowContext context) {
        // There is no page of ours to answer.
    }

    @Override
    public boolean requiresUser() {
        return false; // carrying happens before the user is known; deciding checks for itself
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
