package org.gaitkeeper.keycloak.login;

import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.HeaderParam;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import jakarta.ws.rs.ext.Provider;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.gaitkeeper.keycloak.sidecar.EcKey;
import org.gaitkeeper.keycloak.sidecar.Json;
import org.gaitkeeper.keycloak.sidecar.RequestAssertion;
import org.jboss.logging.Logger;
import org.keycloak.common.util.Time;
import org.keycloak.events.Event;
import org.keycloak.events.EventStoreProvider;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.services.managers.AuthenticationManager;
import org.keycloak.services.managers.UserSessionManager;

/**
 * What the sidecar may do in a realm, and nothing else: list and end sessions, read our events and our counts.
 *
 * <p>Every call is signed by the sidecar over its exact body (the form of its webhook) and works once. There is no account
 * behind it, so a stolen sidecar key ends sessions and resets no password.
 */
@Provider // makes the server index this class as one with routes
@Produces(MediaType.APPLICATION_JSON)
@Consumes(MediaType.APPLICATION_JSON)
public final class RealmSessions {
    private static final Logger LOG = Logger.getLogger(RealmSessions.class);
    private static final int LARGEST_BODY = 16 * 1024;
    private static final int MOST_EVENTS = 200;

    private final KeycloakSession session;
    private final RealmModel realm;

    public RealmSessions(KeycloakSession session) {
        this.session = session;
        this.realm = session.getContext().getRealm();
    }

    /** End one session ({@code scope} session) or all of a person's ({@code all}), offline ones too. Safe to repeat. */
    @POST
    @Path("sessions/end")
    public Response end(@HeaderParam("Authorization") String authorization, String body) {
        if (!isFromSidecar(authorization, "/gaitkeeper/sessions/end", body)) {
            return refused();
        }
        Map<String, Object> wanted = Json.object(body.getBytes(StandardCharsets.UTF_8));
        UserModel user = user(wanted);
        int ended = 0;
        if (user != null && "all".equals(wanted.get("scope"))) {
            // As Keycloak's own console does: a token refreshed in this very moment must not bring its session back.
            session.users().setNotBeforeForUser(realm, user, Time.currentTime());
            for (UserSessionModel one : session.sessions().getUserSessionsStream(realm, user).toList()) {
                ended += endOnline(one);
            }
            for (UserSessionModel one : session.sessions().getOfflineUserSessionsStream(realm, user).toList()) {
                ended += endOffline(one);
            }
        } else if (user != null && "session".equals(wanted.get("scope")) && wanted.get("sid") instanceof String sid) {
            ended += endOnline(theirs(session.sessions().getUserSession(realm, sid), user));
            ended += endOffline(theirs(session.sessions().getOfflineUserSession(realm, sid), user));
        }
        LOG.infof("sessions ended for the sidecar in realm %s: %d", realm.getName(), ended);
        return answer(Map.of("ended", ended));
    }

    /** List a person's sessions. */
    @POST
    @Path("sessions/list")
    public Response list(@HeaderParam("Authorization") String authorization, String body) {
        if (!isFromSidecar(authorization, "/gaitkeeper/sessions/list", body)) {
            return refused();
        }
        UserModel user = user(Json.object(body.getBytes(StandardCharsets.UTF_8)));
        List<Map<String, Object>> found = new ArrayList<>();
        if (user != null) {
            session.sessions().getUserSessionsStream(realm, user).forEach(one -> found.add(described(one, false)));
            session.sessions().getOfflineUserSessionsStream(realm, user).forEach(one -> found.add(described(one, true)));
        }
        return answer(Map.of("sessions", found));
    }

    /** Return stored login events that carry a decision, newest first, and what was counted since the server started. */
    @POST
    @Path("events")
    public Response events(@HeaderParam("Authorization") String authorization, String body) {
        if (!isFromSidecar(authorization, "/gaitkeeper/events", body)) {
            return refused();
        }
        EventStoreProvider store = session.getProvider(EventStoreProvider.class);
        List<Map<String, Object>> found = new ArrayList<>();
        if (store != null) {
            try (Stream<Event> stored = store.createQuery().realm(realm.getId()).maxResults(MOST_EVENTS).getResultStream()) {
                stored.filter(RealmSessions::isOurs).forEach(event -> found.add(described(event)));
            }
        }
        RealmSidecar sidecar = RealmSidecar.of(realm);
        return answer(Map.of("events", found, "evaluations", sidecar.client.counts(), "reports", sidecar.reports.counts(),
            "times", sidecar.timings.told()));
    }

    private boolean isFromSidecar(String authorization, String path, String body) {
        String sidecar = realm.getAttribute(Names.AUDIENCE);
        String issuer = realm.getAttribute(Names.ISSUER);
        String keys = realm.getAttribute(Names.SIDECAR_KEYS);
        if (sidecar == null || issuer == null || keys == null || authorization == null || body == null || body.length() > LARGEST_BODY) {
            return false;
        }
        String token = authorization.regionMatches(true, 0, "Bearer ", 0, 7) ? authorization.substring(7) : "";
        // The URL as the sidecar knows it, not as a proxy may have rewritten it.
        RequestAssertion.Request request =
            new RequestAssertion.Request(sidecar, issuer + path, "POST", issuer + path, body.getBytes(StandardCharsets.UTF_8));
        try {
            RequestAssertion.Accepted accepted = RequestAssertion.verify(token, keys(keys), request, System.currentTimeMillis() / 1000);
            return session.singleUseObjects().putIfAbsent("gaitkeeper." + realm.getId() + "." + accepted.jti(), accepted.seconds());
        } catch (RequestAssertion.Refused | IllegalArgumentException refused) {
            LOG.warnf("a call to %s in realm %s is refused: %s", path, realm.getName(), refused.getMessage());
            return false;
        }
    }

    private static List<EcKey> keys(String jwks) {
        List<EcKey> keys = new ArrayList<>();
        if (Json.object(jwks.getBytes(StandardCharsets.UTF_8)).get("keys") instanceof List<?> all) {
            for (Object one : all) {
                keys.add(EcKey.read(Json.inside(Map.of("key", one), "key")));
            }
        }
        return keys;
    }

    private UserModel user(Map<String, Object> wanted) {
        return wanted.get("subject") instanceof String id ? session.users().getUserById(realm, id) : null;
    }

    private static UserSessionModel theirs(UserSessionModel found, UserModel user) {
        return found != null && found.getUser().getId().equals(user.getId()) ? found : null;
    }

    private int endOnline(UserSessionModel one) {
        if (one == null) {
            return 0;
        }
        logOut(one, false);
        return 1;
    }

    private int endOffline(UserSessionModel one) {
        if (one == null) {
            return 0;
        }
        logOut(one, true);
        if (session.sessions().getOfflineUserSession(realm, one.getId()) != null) {
            new UserSessionManager(session).revokeOfflineUserSession(one);
        }
        return 1;
    }

    /** End one session and tell its clients. */
    private void logOut(UserSessionModel one, boolean offline) {
        // 26.6 keeps the first session's list of clients already told for those after it, whose clients then hear nothing.
        session.getContext().setAuthenticationSession(null);
        AuthenticationManager.backchannelLogout(session, realm, one, session.getContext().getUri(),
            session.getContext().getConnection(), session.getContext().getRequestHeaders(), true, offline);
    }

    private static boolean isOurs(Event event) {
        return event.getDetails() != null && event.getDetails().containsKey(Names.DETAIL_ACTION);
    }

    private static Map<String, Object> described(UserSessionModel one, boolean offline) {
        Map<String, Object> described = new LinkedHashMap<>();
        described.put("sid", one.getId());
        described.put("offline", offline);
        described.put("started", one.getStarted());
        described.put("last_access", one.getLastSessionRefresh());
        described.put("risk", one.getNote(Names.DETAIL_RISK));
        return described;
    }

    private static Map<String, Object> described(Event event) {
        Map<String, Object> described = new LinkedHashMap<>();
        described.put("id", event.getId());
        described.put("type", event.getType().name());
        described.put("time", event.getTime());
        described.put("subject", event.getUserId());
        described.put("sid", event.getSessionId());
        described.put("error", event.getError());
        event.getDetails().forEach((name, value) -> {
            if (name.startsWith("gaitkeeper_")) {
                described.put(name, value);
            }
        });
        return described;
    }

    private static Response answer(Map<String, ?> content) {
        return Response.ok(new String(Json.bytes(content), StandardCharsets.UTF_8)).header("Cache-Control", "no-store").build();
    }

    /** One answer for every refusal: the log says why. */
    private static Response refused() {
        return Response.status(Response.Status.UNAUTHORIZED).entity("{\"error\":\"token_invalid\"}").build();
    }
}
