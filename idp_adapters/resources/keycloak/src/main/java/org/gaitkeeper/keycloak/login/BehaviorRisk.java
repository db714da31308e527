package org.gaitkeeper.keycloak.login;

import jakarta.ws.rs.core.HttpHeaders;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.gaitkeeper.keycloak.sidecar.Action;
import org.gaitkeeper.keycloak.sidecar.Captures;
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
            if (!notes.carry(capture(context))) {
                RealmSidecar.of(context.getRealm()).client.countDropped();
            }
            context.success();
            return;
        }
        if (context.getUser() == null) {
            LOG.error("Behavior risk stands before the user is known: it belongs after the login forms");
            context.failure(AuthenticationFlowError.INTERNAL_ERROR);
            return;
        }
        long began = System.nanoTime();
        Outcome outcome = outcome(context, notes, config);
        notes.decided(outcome.unmet() && NewFactors.areDue(context.getUser()) ? outcome.denied() : outcome);
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
        if (again && (Persons.isImpersonated(session) || !config.get(BehaviorRiskFactory.ON_SSO).equals(BehaviorRiskFactory.ASK))) {
            return standing(session, wishes, person);
        }
        RealmSidecar sidecar = RealmSidecar.of(context.getRealm());
        try {
            Question.Attempt attempt = attempt(context, notes, again ? session : null);
            Question question = question(context, attempt, consent, person, wishes, config);
            Duration deadline = Duration.ofMillis(BehaviorRiskFactory.deadline(config));
            String before = again ? session.getNote(Names.DETAIL_DECISION) : null;
            Verdict verdict = sidecar.client.evaluate(connect(sidecar, context), question, deadline, time -> {
                if (before != null) { // how the login ended may still be on its way, and with it that a second factor was passed
                    sidecar.reports.awaitTaken(SidecarEvents.completionPath(before), time);
                }
            });
            if (verdict.device() != null && !LoginNotes.isWithoutPages(context.getHttpRequest())) {
                DeviceCookie.set(context.getSession(), context.getRealm(), verdict.device());
            }
            return Outcome.of(verdict, wishes, person);
        } catch (NoAnswer none) {
            return unanswered(context, sidecar, none, wishes, person);
        } catch (RuntimeException unforeseen) { // whatever it is, the client's fail mode holds
            LOG.debug("a login could not be asked about", unforeseen);
            NoAnswer none = new NoAnswer(NoAnswer.Cause.NOT_CONFIGURED, unforeseen.getClass().getSimpleName());
            sidecar.client.count(none.why());
            return unanswered(context, sidecar, none, wishes, person);
        } finally {
            notes.forgetCarried();
        }
    }

    private static Connection connect(RealmSidecar sidecar, AuthenticationFlowContext context) throws NoAnswer {
        try {
            return sidecar.connect(context.getSession(), context.getRealm());
        } catch (NoAnswer unconfigured) {
            sidecar.client.count(unconfigured.why());
            throw unconfigured;
        }
    }

    private static Outcome unanswered(
        AuthenticationFlowContext context, RealmSidecar sidecar, NoAnswer none, Outcome.Wishes wishes, Outcome.Person person) {
        sidecar.log("no decision for a login at client " + client(context), none);
        return Outcome.unanswered(wishes, person);
    }

    /**
     * A running session stands on the decision it began with. One that began without any, also because the sidecar was silent
     * then, is treated like a silent sidecar: the client may have another fail mode than the one at which it began.
     */
    private static Outcome standing(UserSessionModel session, Outcome.Wishes wishes, Outcome.Person person) {
        if (Persons.isImpersonated(session) || session.getNote(Names.DETAIL_DECISION) != null) {
            String risk = session.getNote(Names.DETAIL_RISK);
            return new Outcome(Action.ALLOW, null, "session", risk == null ? "unknown" : risk, session.getNote(Names.DETAIL_UNMET) != null);
        }
        return Outcome.unanswered(wishes, person);
    }

    /** Which login it is; {@code running}: the session that goes on, in which there is nothing typed. */
    private static Question.Attempt attempt(AuthenticationFlowContext context, LoginNotes notes, UserSessionModel running) {
        AuthenticationSessionModel login = context.getAuthenticationSession();
        List<String> captures = new ArrayList<>();
        if (running == null) {
            captures.addAll(notes.carried());
            String posted = capture(context);
            if (Captures.isUsable(posted) && !captures.contains(posted)) {
                captures.add(posted);
            } else if (posted != null && !posted.isEmpty() && !captures.contains(posted)) {
                RealmSidecar.of(context.getRealm()).client.countDropped();
            }
        }
        String sid = login.getParentSession().getId(); // becomes the sid of the tokens
        Long began = running == null ? null : (long) running.getStarted();
        return new Question.Attempt(login.getTabId(), notes.startedAt(), captures, running == null ? sid : running.getId(), began);
    }

    private static Question question(
        AuthenticationFlowContext context, Question.Attempt attempt, Consent consent, Outcome.Person person, Outcome.Wishes wishes,
        Map<String, String> config) {
        boolean memberships = config.get(BehaviorRiskFactory.MEMBERSHIPS).equals(BehaviorRiskFactory.SEND);
        HttpHeaders headers = context.getHttpRequest().getHttpHeaders();
        return new Question(
            attempt.sessionStartedAt() == null ? "login" : "session_check",
            Persons.subject(context.getRealm(), context.getUser(), memberships),
            client(context),
            attempt,
            consent,
            person.secondFactor(),
            wishes.withoutSecondFactor(),
            new Question.Surroundings(
                context.getConnection().getRemoteHost(), // as the server knows it, behind its proxies, too
                headers.getHeaderString(HttpHeaders.USER_AGENT),
                DeviceCookie.sent(context.getSession()),
                "1".equals(headers.getHeaderString("Sec-GPC"))));
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
