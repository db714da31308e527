"""One error tree. Each class has a stable machine code and an HTTP status; messages are for people and may change."""

from typing import ClassVar


class GaitkeeperError(Exception):
    """Base of every error this product raises on purpose."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigInvalid(GaitkeeperError):
    """The configuration cannot be run; the message lists every failed check."""

    code = "config_invalid"


class BadRequest(GaitkeeperError):
    """The request is not of the documented form."""

    code = "bad_request"
    status = 400


class BodyTooLarge(BadRequest):
    """The body is larger than this route accepts."""

    code = "body_too_large"
    status = 413


class BodyTooSlow(BadRequest):
    """The body did not arrive in time."""

    code = "body_too_slow"
    status = 408


class UnsupportedMedia(BadRequest):
    """The content type is not one this route reads."""

    code = "unsupported_media_type"
    status = 415


class TokenInvalid(GaitkeeperError):
    """A token failed verification. The message says which check, without echoing the token."""

    code = "token_invalid"
    status = 401


class TokenReplayed(TokenInvalid):
    """The assertion's jti was used before."""

    code = "token_replayed"


class MalformedBatch(BadRequest):
    """A widget batch does not follow the wire schema or its bounds."""

    code = "batch_malformed"


class SiteUnknown(GaitkeeperError):
    """No site with this key, or the page's origin is not one of the site's."""

    code = "site_unknown"
    status = 403


class CaptureRefused(GaitkeeperError):
    """The capture token does not permit this batch."""

    code = "capture_refused"
    status = 403


class CaptureExpired(CaptureRefused):
    """The capture is older than its lifetime."""

    code = "capture_expired"
    status = 410


class CaptureUsed(CaptureRefused):
    """The capture already served its one decision."""

    code = "capture_used"
    status = 409


class BatchOutOfOrder(CaptureRefused):
    """The batch's sequence number was seen before or steps back."""

    code = "batch_out_of_order"
    status = 409


class BatchImplausible(CaptureRefused):
    """The batch claims more time than has passed on the server's clock."""

    code = "batch_implausible"
    status = 422


class NotFound(GaitkeeperError):
    """Nothing of that name for this caller."""

    code = "not_found"
    status = 404


class Forbidden(GaitkeeperError):
    """The caller is known and may not do this."""

    code = "forbidden"
    status = 403


class IdempotencyConflict(GaitkeeperError):
    """The idempotency key was used with another request."""

    code = "idempotency_conflict"
    status = 409


class PolicyInvalid(GaitkeeperError):
    """A policy file is refused; the message carries line, column and a hint."""

    code = "policy_invalid"
    status = 422


class PolicyConflict(GaitkeeperError):
    """Somebody else changed the policies in force at the same time; look again, then decide."""

    code = "policy_conflict"
    status = 409


class Busy(GaitkeeperError):
    """This is done for one at a time, and somebody else's is running; the answer says in ``Retry-After`` when to try again."""

    code = "busy"
    status = 503

    def __init__(self, message: str, *, again_seconds: int) -> None:
        super().__init__(message)
        self.again_seconds = again_seconds


class StorageFailed(GaitkeeperError):
    """The database could not do the work (locked, full, damaged). Trying again may help."""

    code = "storage_failed"
    status = 503


class AuditFull(StorageFailed):
    """The buffer of the audit log is full, and the policy says that nothing may be decided unrecorded."""

    code = "audit_full"


class SchemaOld(StorageFailed):
    """The database needs ``gaitkeeper db migrate`` before this version can use it."""

    code = "schema_old"


class SchemaNewer(StorageFailed):
    """The database was made by a newer version than this one."""

    code = "schema_newer"


class SealBroken(StorageFailed):
    """A sealed value does not open: wrong key, moved to another row, or changed."""

    code = "seal_broken"


class KeyUnknown(StorageFailed):
    """The key that a sealed value names is not (or no longer) the person's: forgotten, or sealed by another installation."""

    code = "key_unknown"


class MasterKeyUnknown(StorageFailed):
    """A key is wrapped under a master key that is not at hand."""

    code = "master_key_unknown"


class CannotDisable(GaitkeeperError):
    """Accounts cannot be disabled in the way in which this provider's sessions are ended."""

    code = "cannot_disable"
    status = 409


class DeliveryFailed(GaitkeeperError):
    """An effect could not be delivered to the identity provider; ``permanent`` says whether retrying is useless."""

    code = "delivery_failed"
    status = 502

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
