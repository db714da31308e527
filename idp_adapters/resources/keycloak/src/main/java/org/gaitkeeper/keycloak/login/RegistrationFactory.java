package org.gaitkeeper.keycloak.login;

import jakarta.ws.rs.core.MultivaluedMap;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import org.keycloak.authentication.FormContext;
import org.keycloak.authentication.ValidationContext;
import org.keycloak.authentication.forms.RegistrationUserCreation;
import org.keycloak.forms.login.LoginFormsProvider;
import org.keycloak.http.HttpRequest;

/**
 * Keycloak's own creation of a user from the registration form, without our field: a realm that takes unmanaged attributes would make
 * one of it. What the field holds waits for the person's consent.
 *
 * <p>It stands in the place of the built-in one, not before it: a form action cannot take anything out of the posted form, each gets
 * a copy of its own.
 */
public final class RegistrationFactory extends RegistrationUserCreation {
    static final String ID = "gaitkeeper-registration";

    @Override
    public String getId() {
        return ID;
    }

    @Override
    public String getDisplayType() {
        return "Registration User Creation (behavior)";
    }

    @Override
    public void buildPage(FormContext context, LoginFormsProvider form) {
        super.buildPage(context, form);
        new LoginNotes(context.getAuthenticationSession()).start();
        form.setAttribute(Names.REGISTRATION, true);
    }

    @Override
    public void validate(ValidationContext context) {
        String capture = context.getHttpRequest().getDecodedFormParameters().getFirst(Names.FIELD);
        Enrollment.keep(context.getRealm(), context.getAuthenticationSession(), capture, Enrollment.REGISTRATION);
        super.validate(withoutField(ValidationContext.class, context));
    }

    @Override
    public void success(FormContext context) {
        super.success(withoutField(FormContext.class, context));
    }

    /** Return the same context, in whose request there is no such field. A proxy, because minor versions add methods. */
    private static <T extends FormContext> T withoutField(Class<T> kind, T context) {
        HttpRequest real = context.getHttpRequest();
        HttpRequest request = proxy(HttpRequest.class, real, "getDecodedFormParameters", () -> {
            MultivaluedMap<String, String> form = real.getDecodedFormParameters();
            form.remove(Names.FIELD);
            return form;
        });
        return proxy(kind, context, "getHttpRequest", () -> request);
    }

    private static <T> T proxy(Class<T> kind, T real, String name, java.util.function.Supplier<?> instead) {
        return kind.cast(Proxy.newProxyInstance(RegistrationFactory.class.getClassLoader(), new Class<?>[] {kind}, (self, method, arguments) -> {
            if (method.getName().equals(name)) {
                return instead.get();
            }
            try {
                return method.invoke(real, arguments);
            } catch (InvocationTargetException thrown) {
                throw thrown.getCause();
            }
        }));
    }
}
