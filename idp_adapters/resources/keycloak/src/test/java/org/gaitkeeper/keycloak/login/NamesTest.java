package org.gaitkeeper.keycloak.login;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class NamesTest {
    @Test
    void everyNameInThePagesIsOneOfOurs() throws Exception {
        Set<String> ours = new HashSet<>();
        for (Field field : Names.class.getDeclaredFields()) {
            assertTrue(ours.add((String) field.get(null)) || Set.of("CONSENT", "DETAIL_CONSENT").contains(field.getName()), field.getName());
        }
        String footer = text("/theme/gaitkeeper/login/footer.ftl");
        Matcher attribute = Pattern.compile("realm\\.attributes\\[\"([^\"]+)\"\\]").matcher(footer);
        Set<String> read = new HashSet<>();
        while (attribute.find()) {
            read.add(attribute.group(1));
        }
        assertEquals(Set.of(Names.ISSUER, Names.AUDIENCE, Names.SECRET_FIELDS, Names.TRANSPORT, Names.SITE_KEY, Names.ENDPOINT), read);
        assertTrue(footer.contains(Names.REGISTRATION + "??"));
        assertTrue(footer.contains(Names.NEW_PASSWORD_ATTEMPT + "</#if>"));
        assertTrue(text("/theme/gaitkeeper/login/resources/js/gaitkeeper.js").contains(Names.FIELD), "the widget's field");
    }

    @Test
    void theServersDatabaseHasRoomForTheNamesOfOurSteps() {
        for (String id : List.of(BehaviorRiskFactory.ID, RiskConditionFactory.ID, DenyFactory.ID, OtpFactory.ID, SecurityKeyFactory.ID,
            RegistrationFactory.ID, ConsentFactory.ID)) {
            assertTrue(id.length() <= 36, id);
        }
    }

    @Test
    void noTwoRealmsShareAKeyInTheEnvironment() {
        assertEquals(Optional.of("GAITKEEPER_KEY_MAIN2"), RealmSidecar.environmentName("main2"));
        for (String other : List.of("Main2", "a.b", "a-b", "a_b", "a b", "\u00e4", "")) {
            assertEquals(Optional.empty(), RealmSidecar.environmentName(other));
        }
    }

    private static String text(String resource) throws IOException {
        try (InputStream in = NamesTest.class.getResourceAsStream(resource)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
