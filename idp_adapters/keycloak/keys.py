"""The realm's signing key as a private JWK: the form that the jar reads, because Java derives no public half from PEM."""

import base64
from collections.abc import Mapping

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.tokens import new_signing_key


def new_private_jwk() -> dict[str, str]:
    """Make a P-256 key."""
    made = new_signing_key()
    key = serialization.load_pem_private_key(made.pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("new signing keys are P-256")
    secret = key.private_numbers().private_value.to_bytes(32)
    return {**made.jwk, "d": base64.urlsafe_b64encode(secret).rstrip(b"=").decode()}


def public_half(jwk: Mapping[str, str]) -> dict[str, str]:
    """Return what the sidecar may know of a key."""
    return {name: value for name, value in jwk.items() if name != "d"}
