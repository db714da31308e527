package org.gaitkeeper.keycloak.sidecar;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.Map;

/** JSON objects as maps, by the server's Jackson. */
public final class Json {
    private static final ObjectMapper MAPPER = new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
    private static final TypeReference<Map<String, Object>> OBJECT = new TypeReference<>() { };

    private Json() { }

    /** Return the object that the bytes are. Throws IllegalArgumentException, whose message quotes none of them. */
    public static Map<String, Object> object(byte[] text) {
        try {
            Map<String, Object> read = MAPPER.readValue(text, OBJECT);
            if (read != null) {
                return read;
            }
        } catch (IOException unreadable) {
            // Jackson's message quotes the text, which may be a key: it is not passed on.
        }
        throw new IllegalArgumentException("not a JSON object");
    }

    /** Return a map or a list of plain values as JSON. Throws IllegalStateException for any other. */
    public static byte[] bytes(Object value) {
        try {
            return MAPPER.writeValueAsBytes(value);
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException("not representable as JSON");
        }
    }

    /** Return the object under a name; an empty one where there is none. */
    @SuppressWarnings("unchecked")
    public static Map<String, Object> inside(Map<String, Object> object, String name) {
        return object.get(name) instanceof Map<?, ?> found ? (Map<String, Object>) found : Map.of();
    }
}
