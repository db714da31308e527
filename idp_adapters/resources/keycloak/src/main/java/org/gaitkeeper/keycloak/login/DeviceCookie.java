package org.gaitkeeper.keycloak.login;

import jakarta.ws.rs.core.Cookie;
import jakarta.ws.rs.core.HttpHeaders;
import jakarta.ws.rs.core.NewCookie;
import jakarta.ws.rs.core.UriInfo;
import org.gaitkeeper.keycloak.sidecar.Verdict;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.services.managers.AuthenticationManager;

/** The cookie by which the sidecar knows a browser again. It is the sidecar's: we set it, and send it back as it came. */
final class DeviceCookie {
    private DeviceCookie() { }

    /** Return what the browser sent; null for nothing, and for what cannot be the sidecar's. */
    static String sent(KeycloakSession session) {
        HttpHeaders headers = session.getContext().getRequestHeaders();
        Cookie cookie = headers == null ? null : headers.getCookies().get(Names.DEVICE_COOKIE);
        return cookie != null && Verdict.isDevice(cookie.getValue()) ? cookie.getValue() : null;
    }

    static void set(KeycloakSession session, RealmModel realm, Verdict.Device device) {
        UriInfo uri = session.getContext().getUri();
        session.getContext().getHttpResponse().setCookieIfAbsent(new NewCookie.Builder(Names.DEVICE_COOKIE)
            .value(device.value())
            .path(AuthenticationManager.getRealmCookiePath(realm, uri))
            .maxAge(device.seconds())
            .secure("https".equals(uri.getBaseUri().getScheme()))
            .httpOnly(true)
            .sameSite(NewCookie.SameSite.LAX)
            .build());
    }
}
