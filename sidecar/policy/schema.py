"""JSON Schema (draft-07, which editors' YAML servers read) of policy files and of their tests, made from the registry.

The schema is for editors: it completes keys, verbs and values. What it cannot say (types of expressions, unknown lists,
deny by behaviour) the reader in ``language`` refuses.
"""

from typing import Any

from sidecar.domain.biometrics import Cause
from sidecar.domain.decisions import Effect
from sidecar.policy.membership import LIST_SIGNALS
from sidecar.policy.model import INSUFFICIENT, MODES, SCHEMA, SCOPES, SKIP, VERBS
from sidecar.policy.registry import SIGNALS, Signal

DRAFT = "http://json-schema.org/draft-07/schema#"
_ID = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 2000}
_TEXTS = {"type": "array", "items": _TEXT, "minItems": 1}
_MOMENT = {"type": "string", "description": "a date (its first moment in UTC) or a time with its zone"}
_NUMBERS = {"int": "integer", "double": "number"}


def policy_schema() -> dict[str, Any]:
    """Return the schema of a policy file."""
    outcomes = {
        "match": _THEN,
        "mismatch": _THEN,
        "insufficient": _object(dict.fromkeys(INSUFFICIENT, _THEN), required=INSUFFICIENT),
        "unavailable": _object({str(cause): _THEN for cause in Cause}, required=tuple(str(cause) for cause in Cause)),
        "error": _THEN,
    }
    top = {
        "schema": {"const": SCHEMA},
        "id": _ID,
        "description": _TEXT,
        "prior": {"type": "number", "minimum": 0.0001, "maximum": 0.5, "description": "probability of an impostor"},
        "audit": _object({"full": {"enum": ["continue", "error"]}}, required=("full",)),
        "behavior_may_deny": {"type": "boolean"},
        "bands": _object(
            {
                "keystroke": _object(
                    {"mismatch_from": {"type": "number", "exclusiveMinimum": -6, "exclusiveMaximum": 6}},
                    required=("mismatch_from",),
                )
            },
            required=("keystroke",),
        ),
        "lists": {"type": "object", "additionalProperties": _list(), "propertyNames": _ID},
        "rules": {"type": "array", "items": _rule()},
        "outcomes": _object(outcomes, required=tuple(outcomes)),
    }
    return {
        "$schema": DRAFT,
        "title": "Gaitkeeper policy",
        "definitions": {"condition": _condition()},
        **_object(top, required=("schema", "id", "prior", "bands", "rules", "outcomes")),
    }


def cases_schema() -> dict[str, Any]:
    """Return the schema of a test file (``*.test.yaml``)."""
    expect = {
        "action": {"enum": list(VERBS)},
        "rule": _TEXT,
        "acr_values": _TEXT,
        "factor": _TEXT,
        "shadow": {"type": "object", "additionalProperties": {"enum": list(VERBS)}},
    }
    facts = _object({name: _value(signal) for name, signal in SIGNALS.items()})
    case = _object(
        {"name": _TEXT, "now": _MOMENT, "facts": facts, "expect": {**_object(expect), "minProperties": 1}},
        required=("name", "expect"),
    )
    top = {
        "schema": {"const": SCHEMA},
        "now": _MOMENT,
        "facts": facts,
        "cases": {"type": "array", "items": case, "minItems": 1},
    }
    return {
        "$schema": DRAFT,
        "title": "Tests of a Gaitkeeper policy",
        **_object(top, required=("schema", "now", "facts", "cases")),
    }


def _object(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return made | ({"required": list(required)} if required else {})


_THEN: dict[str, Any] = {
    "oneOf": [
        {"enum": list(VERBS)},
        _object(
            {
                "action": {"enum": list(VERBS)},
                "acr_values": _TEXT,
                "factor": _TEXT,
                "effects": {"type": "array", "items": {"enum": [str(effect) for effect in Effect]}, "minItems": 1},
            },
            required=("action",),
        ),
    ]
}


def _rule() -> dict[str, Any]:
    scopes = {name: _TEXTS for name in SCOPES if name != "users"}
    exception = {"id": _ID, "owner": _TEXT, "expires": _MOMENT, "reason": _TEXT, "networks": _TEXTS, "listed": _TEXT}
    return _object(
        {
            "id": _ID,
            "description": _TEXT,
            "owner": _TEXT,
            "mode": {"enum": list(MODES)},
            "since": _MOMENT,
            "scope": {**_object({**scopes, "networks": _TEXTS}), "minProperties": 1},
            "when": {"$ref": "#/definitions/condition"},
            "then": _THEN,
            "on_error": {"anyOf": [{"const": SKIP}, _THEN]},
            "on_missing": {"anyOf": [{"const": SKIP}, _THEN]},
            "exceptions": {
                "type": "array",
                "minItems": 1,
                "items": _object({**exception, **dict.fromkeys(SCOPES, _TEXTS)}, required=("id", "owner", "expires")),
            },
        },
        required=("id", "when", "then"),
    )


def _condition() -> dict[str, Any]:
    names = ", ".join(SIGNALS)
    leaf = {"type": "string", "maxLength": 2000, "description": f"CEL, yes or no, over {names}"}
    part = {"anyOf": [leaf, _object({"listed": _TEXT}, required=("listed",)), {"$ref": "#/definitions/condition"}]}
    several = {"type": "array", "items": part, "minItems": 1}
    return {
        "oneOf": [
            _object({"all": several}, required=("all",)),
            _object({"any": several}, required=("any",)),
            _object({"not": {**several, "maxItems": 1}}, required=("not",)),
        ]
    }


def _list() -> dict[str, Any]:
    made = _object(
        {**{str(kind): _TEXTS for kind in LIST_SIGNALS}, "owner": _TEXT, "expires": _MOMENT}, ("owner", "expires")
    )
    return made | {"oneOf": [{"required": [str(kind)]} for kind in LIST_SIGNALS]}


def _value(signal: Signal) -> dict[str, Any]:
    """Return the schema of one signal's value; null is "not known"."""
    meaning = f"{signal.meaning} ({signal.unit})" if signal.unit else signal.meaning
    if signal.values:
        return {"enum": [*signal.values, None], "description": meaning}
    if signal.type == "strings":
        return {"type": ["array", "null"], "items": {"type": "string"}, "description": meaning}
    if signal.type not in _NUMBERS:
        return {"type": ["boolean" if signal.type == "bool" else "string", "null"], "description": meaning}
    bounds = {"minimum": signal.low, "maximum": signal.high}
    known = {key: bound for key, bound in bounds.items() if bound is not None}
    return {"type": [_NUMBERS[signal.type], "null"], "description": meaning, **known}
