"""The embedded demo: a small OpenID provider and a small bank that signs in with it.

Nothing here knows Gaitkeeper from the inside. The provider reaches the sidecar only through its public HTTP
hook (``hook.py``), the way any identity provider would, so that this package doubles as the worked example.

Entry points: ``idp.create_idp``, ``app.create_app``, ``seed.seed``, ``settings.DemoSettings``.
"""
