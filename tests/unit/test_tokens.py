"""The strict wrapper around python-jose: what it must refuse, row by row, and joserfc as a second opinion (SEC1)."""

import base64
import hashlib
import hmac
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import CaptureExpired, CaptureRefused, TokenInvalid
from sidecar.tokens import (
    CAPTURE_TYP,
    REQUEST_TYP,
    CaptureClaims,
    RequestClaims,
    load_signing_key,
    new_signing_key,
    sign_capture,
    sign_request,
    verify_capture,
    verify_request,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from joserfc import jwt as joserfc_jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, KeySet

NOW = 1_800_000_000.0
ISSUER, AUDIENCE, URL, BODY = "http://idp.test", "http://sidecar.test", "http://sidecar.test/v1/events", b'{"a":1}'
KEY, OTHER = new_signing_key(), new_signing_key()
SECRET = bytes(range(32))
KEYS = {ISSUER: [dict(KEY.jwk)], "http://two.test": [dict(OTHER.jwk)]}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def digest(body: bytes) -> str:
    return b64(hashlib.sha256(body).digest())


def claims(**changed: Any) -> dict[str, Any]:
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "jti": "0123456789abcdef",
        "htm": "POST",
        "htu": URL,
        "body_sha256": digest(BODY),
    } | changed
    return {name: value for name, value in made.items() if value is not ...}


def header(**changed: Any) -> dict[str, Any]:
    made = {"alg": "ES256", "typ": REQUEST_TYP, "kid": KEY.kid} | changed
    return {name: value for name, value in made.items() if value is not ...}


def forged(head: Any, body: Any, sign: Callable[[bytes], bytes] | None = None) -> str:
    """Any header over any claims, with a right ES256 signature unless told otherwise."""
    parts = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(body).encode())}"
    return f"{parts}.{b64((sign or es256)(parts.encode()))}"


def es256(message: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(KEY.pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda message: hmac.new(secret, message, hashlib.sha256).digest()


def public_pem() -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    public = load_pem_private_key(KEY.pem.encode(), None).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def verify(token: str, *, body: bytes = BODY, method: str = "POST", url: str = URL, now: float = NOW) -> RequestClaims:
    return verify_request(token, KEYS, audience=AUDIENCE, method=method, url=url, body=body, now=now)


def test_the_forger_of_these_tests_makes_tokens_that_pass() -> None:
    assert verify(forged(header(), claims())) == RequestClaims(ISSUER, "0123456789abcdef", int(NOW) + 60)


def test_what_sign_request_makes_passes_once_for_that_request() -> None:
    token = sign_request(KEY, issuer=ISSUER, audience=AUDIENCE, method="post", url=URL, body=BODY, now=NOW)
    assert verify(token).issuer == ISSUER
    assert len(verify(token).jti) >= 16


def der(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(pem.splitlines()[1:-1]))


REFUSED: dict[str, Callable[[], str]] = {
    "alg none": lambda: forged(header(alg="none"), claims(), lambda _: b""),
    "alg none, signed": lambda: forged(header(alg="none"), claims()),
    "alg None spelled oddly": lambda: forged(header(alg="nOnE"), claims(), lambda _: b""),
    "no alg": lambda: forged(header(alg=...), claims()),
    "alg a list": lambda: forged(header(alg=["ES256"]), claims()),
    "HS256 with the public key in PEM": lambda: forged(header(alg="HS256"), claims(), hs256(public_pem())),
    "HS256 with the public key in DER": lambda: forged(header(alg="HS256"), claims(), hs256(der(public_pem()))),
    "HS256 with the public JWK": lambda: forged(
        header(alg="HS256"), claims(), hs256(json.dumps(dict(KEY.jwk)).encode())
    ),
    "ES256 header, HS256 signature": lambda: forged(header(), claims(), hs256(public_pem())),
    "typ JWT": lambda: forged(header(typ="JWT"), claims()),
    "typ of a capture": lambda: forged(header(typ=CAPTURE_TYP), claims()),
    "typ in capitals": lambda: forged(header(typ=REQUEST_TYP.upper()), claims()),
    "no typ": lambda: forged(header(typ=...), claims()),
    "no kid": lambda: forged(header(kid=...), claims()),
    "kid a number": lambda: forged(header(kid=1), claims()),
    "unknown kid": lambda: forged(header(kid="unknown"), claims()),
    "kid of another issuer": lambda: forged(header(kid=OTHER.kid), claims()),
    "crit": lambda: forged(header(crit=["exp"]), claims()),
    "crit empty": lambda: forged(header(crit=[]), claims()),
    "b64 false": lambda: forged(header(b64=False), claims()),
    "key in the header": lambda: theirs(header(jwk=dict(OTHER.jwk)), claims(), ECKey.import_key(OTHER.pem)),
    "no exp": lambda: forged(header(), claims(exp=...)),
    "no iat": lambda: forged(header(), claims(iat=...)),
    "no aud": lambda: forged(header(), claims(aud=...)),
    "no iss": lambda: forged(header(), claims(iss=...)),
    "no jti": lambda: forged(header(), claims(jti=...)),
    "exp a text": lambda: forged(header(), claims(exp=str(int(NOW) + 60))),
    "exp a fraction": lambda: forged(header(), claims(exp=NOW + 59.5)),
    "exp true": lambda: forged(header(), claims(exp=True)),
    "exp infinite": lambda: forged(header(), claims(exp=1e400)),
    "exp null": lambda: forged(header(), claims(exp=None)),
    "iat null": lambda: forged(header(), claims(iat=None)),
    "iat not a number": lambda: forged(header(), claims(iat=float("nan"))),
    "nbf": lambda: forged(header(), claims(nbf=int(NOW))),
    "expired": lambda: forged(header(), claims(iat=int(NOW) - 60, exp=int(NOW))),
    "issued in the future": lambda: forged(header(), claims(iat=int(NOW) + 31, exp=int(NOW) + 60)),
    "valid for 61 seconds": lambda: forged(header(), claims(exp=int(NOW) + 61)),
    "valid for years, issued long ago": lambda: forged(header(), claims(iat=0, exp=int(NOW) + 10)),
    "wrong audience": lambda: forged(header(), claims(aud="http://elsewhere.test")),
    "audience a prefix": lambda: forged(header(), claims(aud=AUDIENCE + "/")),
    "unknown issuer": lambda: forged(header(), claims(iss="http://nobody.test")),
    "issuer of another key": lambda: forged(header(), claims(iss="http://two.test")),
    "issuer a list": lambda: forged(header(), claims(iss=[ISSUER])),
    "wrong htm": lambda: forged(header(), claims(htm="GET")),
    "no htm": lambda: forged(header(), claims(htm=...)),
    "wrong htu": lambda: forged(header(), claims(htu=URL + "/more")),
    "htu of another host": lambda: forged(header(), claims(htu="http://else.test/v1/events")),
    "no htu": lambda: forged(header(), claims(htu=...)),
    "wrong body": lambda: forged(header(), claims(body_sha256=digest(b"other"))),
    "no body digest": lambda: forged(header(), claims(body_sha256=...)),
    "body digest not ascii": lambda: forged(header(), claims(body_sha256="é" * 43)),
    "body digest null": lambda: forged(header(), claims(body_sha256=None)),
    "jti short": lambda: forged(header(), claims(jti="short")),
    "jti long": lambda: forged(header(), claims(jti="j" * 129)),
    "jti a number": lambda: forged(header(), claims(jti=12345678)),
    "too long": lambda: forged(header(), claims(pad="p" * 4096)),
    "changed by a bit": lambda: flip(forged(header(), claims())),
    "no signature": lambda: forged(header(), claims(), lambda _: b""),
    "signature of zeros": lambda: forged(header(), claims(), lambda _: bytes(64)),
    "signature in DER": lambda: forged(header(), claims(), lambda message: b"\x30\x44" + es256(message)),
    "two parts": lambda: forged(header(), claims()).rpartition(".")[0],
    "four parts": lambda: forged(header(), claims()) + ".AAAA",
    "five parts, a JWE": lambda: "e30.e30.e30.e30.e30",
    "claims a list": lambda: forged(header(), [1, 2]),
    "header a list": lambda: forged(["ES256"], claims()),
    "header deep": lambda: b64(b"[" * 2900) + ".e30.e30",
    "header deep object": lambda: b64(b'{"a":' * 590) + ".e30.e30",
    "claims deep": lambda: b64(json.dumps(header()).encode()) + "." + b64(b"[" * 2500) + ".e30",
    "empty": lambda: "",
    "dots": lambda: "..",
    "not base64": lambda: "£.£.£",
    "surrogates": lambda: "\udcff.\udcff.\udcff",
    "nul": lambda: "\0.\0.\0",
}


def flip(token: str) -> str:
    at = token.rindex(".") + 10
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


@pytest.mark.parametrize("make", REFUSED.values(), ids=list(REFUSED))
def test_sec1_refused(make: Callable[[], str]) -> None:
    with pytest.raises(TokenInvalid) as refused:
        verify(make())
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "other", [{"body": b'{"a":2}'}, {"body": b""}, {"method": "PUT"}, {"url": URL + "?x=1"}, {"url": URL.upper()}]
)
def test_an_assertion_holds_for_one_request_only(other: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        verify(forged(header(), claims()), **other)


@pytest.mark.parametrize(("late", "passes"), [(-30, True), (-31, False), (0, True), (59.9, True), (60, False)])
def test_the_window_of_an_assertion(late: float, passes: bool) -> None:
    token = forged(header(), claims())
    if passes:
        assert verify(token, now=NOW + late)
    else:
        with pytest.raises(TokenInvalid):
            verify(token, now=NOW + late)


@pytest.mark.parametrize("now", [1_000_000_000, NOW, 4_000_000_000])
def test_only_the_clock_that_is_passed_counts(now: int) -> None:
    """python-jose's own check of ``exp`` used to run too, on the machine's clock."""
    token = forged(header(), claims(iat=int(now), exp=int(now) + 60))
    assert verify(token, now=now)
    with pytest.raises(TokenInvalid):
        verify(token, now=now + 60)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [dict(KEY.jwk), dict(KEY.jwk)],
        [{**KEY.jwk, "kty": "oct", "k": b64(SECRET)}],
        [{**KEY.jwk, "crv": "P-384"}],
        [{"kid": KEY.kid, "kty": "EC", "crv": "P-256"}],
        [{**KEY.jwk, "x": "!!"}],
    ],
)
def test_odd_key_sets_refuse_instead_of_breaking(keys: list[dict[str, str]]) -> None:
    with pytest.raises(TokenInvalid):
        verify_request(
            forged(header(), claims()), {ISSUER: keys}, audience=AUDIENCE, method="POST", url=URL, body=BODY, now=NOW
        )


@given(st.text(max_size=200) | st.binary(max_size=300).map(b64) | st.lists(st.binary(max_size=60)).map(
    lambda parts: ".".join(b64(part) for part in parts)
))  # fmt: skip
@settings(deadline=None, max_examples=200)
def test_garbage_is_refused_by_both_verifiers(garbage: str) -> None:
    with pytest.raises(TokenInvalid):
        verify(garbage)
    with pytest.raises(CaptureRefused):
        verify_capture(garbage, SECRET, now=NOW)


CAPTURE = CaptureClaims("capture-1", "site", "http://idp.test", "attempt-1", NOW + 0.25, int(NOW) + 600)


def test_cap10_a_capture_token_gives_back_what_it_was_made_of() -> None:
    assert verify_capture(sign_capture(CAPTURE, SECRET), SECRET, now=NOW) == CAPTURE


def test_cap10_a_capture_token_ends_after_ten_minutes_with_its_own_code() -> None:
    token = sign_capture(CAPTURE, SECRET)
    assert verify_capture(token, SECRET, now=NOW + 599)
    with pytest.raises(CaptureExpired):
        verify_capture(token, SECRET, now=NOW + 600)


def capture_claims(**changed: Any) -> dict[str, Any]:
    made = {
        "iss": "gaitkeeper",
        "aud": "gaitkeeper-captures",
        "jti": "capture-1",
        "site": "site",
        "origin": "http://idp.test",
        "attempt": "attempt-1",
        "iat": int(NOW),
        "ms": int(NOW) * 1000,
        "exp": int(NOW) + 600,
        "gpc": False,
    } | changed
    return {name: value for name, value in made.items() if value is not ...}


def capture_token(head: dict[str, Any], body: dict[str, Any], secret: bytes | None = None) -> str:
    return forged(
        {"alg": "HS256", "typ": CAPTURE_TYP, "kid": "capture"} | head,
        body,
        hs256(b64(SECRET).encode() if secret is None else secret),
    )


def test_the_forger_of_capture_tokens_makes_tokens_that_pass() -> None:
    assert verify_capture(capture_token({}, capture_claims()), SECRET, now=NOW).capture == "capture-1"


@pytest.mark.parametrize(
    ("head", "changed"),
    [
        ({"alg": "none"}, {}),
        ({"alg": "HS384"}, {}),
        ({"alg": "ES256"}, {}),
        ({"typ": REQUEST_TYP}, {}),
        ({"typ": "JWT"}, {}),
        ({"kid": "other"}, {}),
        ({"kid": KEY.kid}, {}),
        ({"crit": ["x"]}, {}),
        ({}, {"aud": AUDIENCE}),
        ({}, {"iss": ISSUER}),
        ({}, {"exp": ...}),
        ({}, {"jti": ...}),
        ({}, {"site": ...}),
        ({}, {"origin": ...}),
        ({}, {"attempt": ...}),
        ({}, {"ms": ...}),
        ({}, {"ms": "soon"}),
        ({}, {"gpc": ...}),
        ({}, {"iat": int(NOW) + 3600}),
    ],
)
def test_capture_tokens_that_are_refused(head: dict[str, Any], changed: dict[str, Any]) -> None:
    with pytest.raises(CaptureRefused):
        verify_capture(capture_token(head, capture_claims(**changed)), SECRET, now=NOW)


@pytest.mark.parametrize("secret", [b"", b"\0" * 32, SECRET, b64(b"\1" * 32).encode()])
def test_a_capture_token_of_another_secret_is_refused(secret: bytes) -> None:
    with pytest.raises(CaptureRefused):
        verify_capture(capture_token({}, capture_claims(), secret), SECRET, now=NOW)


def test_the_two_kinds_of_token_never_stand_in_for_each_other() -> None:
    request = sign_request(KEY, issuer=ISSUER, audience=AUDIENCE, method="POST", url=URL, body=BODY, now=NOW)
    with pytest.raises(CaptureRefused):
        verify_capture(request, SECRET, now=NOW)
    with pytest.raises(TokenInvalid):
        verify(sign_capture(CAPTURE, SECRET))
    everything = claims() | capture_claims(iss=ISSUER, aud=AUDIENCE, exp=int(NOW) + 60)
    with pytest.raises(TokenInvalid):
        verify(capture_token({}, everything))
    with pytest.raises(TokenInvalid):  # even under the secret of captures with the header of requests
        verify(forged(header(alg="HS256"), everything, hs256(b64(SECRET).encode())))


def test_our_public_key_can_be_read_by_joserfc_and_has_its_thumbprint() -> None:
    read = ECKey.import_key(dict(KEY.jwk))
    assert read.thumbprint() == KEY.kid


def test_only_p256_keys_sign() -> None:
    for bad in ("", "garbage", ECKey.generate_key("P-384").as_pem(private=True).decode()):
        with pytest.raises(TokenInvalid):
            load_signing_key(bad)


def theirs(head: dict[str, Any], body: dict[str, Any], private: ECKey) -> str:
    return joserfc_jwt.encode(head, body, private, algorithms=["ES256"])


@given(
    jti=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=128),
    age=st.integers(0, 59),
    extra=st.dictionaries(st.sampled_from(["sub", "x", "azp"]), st.text(max_size=20), max_size=3),
)
@settings(deadline=None, max_examples=60)
def test_what_joserfc_signs_over_the_same_claims_is_accepted(jti: str, age: int, extra: dict[str, str]) -> None:
    issued = int(NOW) - age
    token = theirs(
        header(), claims(jti=jti, iat=issued, exp=issued + 60) | extra, ECKey.import_key(KEY.pem, {"kid": KEY.kid})
    )
    assert verify(token).jti == jti


@pytest.mark.parametrize("make", REFUSED.values(), ids=list(REFUSED))
def test_what_joserfc_refuses_we_refuse_and_what_we_accept_it_accepts(make: Callable[[], str]) -> None:
    """The table above against a second implementation: nothing that joserfc refuses may pass here."""
    token = make()
    registry = joserfc_jwt.JWTClaimsRegistry(
        now=lambda: int(NOW),
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
        iat={"essential": True},
        jti={"essential": True},
    )
    try:
        found = joserfc_jwt.decode(token, KeySet([ECKey.import_key(dict(KEY.jwk))]), algorithms=["ES256"])
        registry.validate(found.claims)
        accepted_there = True
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        accepted_there = False
    accepted_here = True
    try:
        verify(token)
    except TokenInvalid:
        accepted_here = False
    assert accepted_there or not accepted_here


def test_what_we_sign_joserfc_accepts() -> None:
    token = sign_request(KEY, issuer=ISSUER, audience=AUDIENCE, method="POST", url=URL, body=BODY, now=time.time())
    found = joserfc_jwt.decode(token, ECKey.import_key(dict(KEY.jwk)), algorithms=["ES256"])
    assert found.header["typ"] == REQUEST_TYP
    assert found.claims["body_sha256"] == digest(BODY)
