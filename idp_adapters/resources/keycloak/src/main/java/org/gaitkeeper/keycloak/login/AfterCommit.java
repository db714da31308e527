package org.gaitkeeper.keycloak.login;

import org.keycloak.models.AbstractKeycloakTransaction;

/** Runs something once the request's transaction has been committed, and not at all when it is rolled back. */
final class AfterCommit extends AbstractKeycloakTransaction {
    private final Runnable work;

    AfterCommit(Runnable work) {
        this.work = work;
    }

    @Override
    protected void commitImpl() {
        work.run();
    }

    @Override
    protected void rollbackImpl() {
        // What did not happen is not reported.
    }
}
