package org.gaitkeeper.keycloak.sidecar;

import java.util.List;

/**
 * How much of what pages recorded may travel. The sidecar takes 64 Ki characters a page and 256 KB a request; what counts is how
 * long a text is as JSON, where a quotation mark is two bytes and a control character six.
 */
public final class Captures {
    public static final int MOST = 4;
    static final int LONGEST = 64 * 1024;
    static final int MOST_BYTES = 96 * 1024;
    static final int MOST_CARRIED_BYTES = 64 * 1024;

    private Captures() { }

    /** Whether a hidden field may go along; its content is the sidecar's business alone. */
    public static boolean isUsable(String capture) {
        return capture != null && !capture.isEmpty() && capture.length() <= LONGEST && bytes(capture) <= MOST_BYTES;
    }

    /** Whether a page's capture can be kept for the decision at a later page, beside those that are. */
    public static boolean canBeCarried(String capture, List<String> kept) {
        return isUsable(capture) && kept.size() < MOST - 1
            && bytes(capture) + kept.stream().mapToInt(Captures::bytes).sum() <= MOST_CARRIED_BYTES;
    }

    private static int bytes(String capture) {
        return Json.bytes(List.of(capture)).length;
    }
}
