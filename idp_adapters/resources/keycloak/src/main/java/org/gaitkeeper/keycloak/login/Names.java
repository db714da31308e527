package org.gaitkeeper.keycloak.login;

/** Names under which things are kept in Keycloak. They are part of realms and events: changing one is a migration. */
final class Names {
    static final String FIELD = "gaitkeeper_capture";
    static final String DEVICE_COOKIE = "GAITKEEPER_DEVICE";

    /** Auth notes: what is known of this login attempt. */
    static final String STARTED = "gaitkeeper.started";
    static final String CARRIED = "gaitkeeper.carried.";
    static final String NEW_PASSWORD = "gaitkeeper.newPassword";
    static final String OCCASION = "gaitkeeper.occasion";
    static final String ACTION = "gaitkeeper.action";
    static final String DECISION = "gaitkeeper.decision";
    static final String SOURCE = "gaitkeeper.source";
    static final String RISK = "gaitkeeper.risk";
    static final String DENIED = "gaitkeeper.denied";
    static final String UNMET = "gaitkeeper.unmet";

    /** Event details and user session notes. */
    static final String DETAIL_ACTION = "gaitkeeper_action";
    static final String DETAIL_DECISION = "gaitkeeper_decision";
    static final String DETAIL_SOURCE = "gaitkeeper_source";
    static final String DETAIL_RISK = "gaitkeeper_risk";
    static final String DETAIL_UNMET = "gaitkeeper_unmet";
    static final String DETAIL_FACTOR = "gaitkeeper_second_factor";
    static final String DETAIL_CONSENT = "gaitkeeper_consent";

    /** The user attribute with the person's choice. */
    static final String CONSENT = "gaitkeeper_consent";

    /** Realm attributes. None is a secret; the key is no attribute. */
    static final String URL = "gaitkeeper.url";
    static final String AUDIENCE = "gaitkeeper.audience";
    static final String ISSUER = "gaitkeeper.issuer";
    static final String SIDECAR_KEYS = "gaitkeeper.sidecarJwks";
    static final String CONSENT_VERSION = "gaitkeeper.consentVersion";

    /** Realm attributes for the login pages; footer.ftl reads them. */
    static final String SECRET_FIELDS = "gaitkeeper.secretFields";
    static final String TRANSPORT = "gaitkeeper.transport";
    static final String SITE_KEY = "gaitkeeper.siteKey";
    static final String ENDPOINT = "gaitkeeper.endpoint";

    /** What the registration form tells the page: that our form action stands in its flow and takes the field. */
    static final String REGISTRATION = "gaitkeeperRegistration";
    /** What makes the attempt of a page with a new password another one than the login's in the same tab. */
    static final String NEW_PASSWORD_ATTEMPT = "-new";

    /** Client attributes, which win over the execution's own settings. */
    static final String CLIENT_FAIL_MODE = "gaitkeeper.failMode";
    static final String CLIENT_WITHOUT_FACTOR = "gaitkeeper.withoutSecondFactor";

    private Names() { }
}
