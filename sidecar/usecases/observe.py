"""Take one batch of behaviour: check that its capture permits it, then keep it sealed until the decision."""

from sidecar.errors import BatchImplausible, CaptureRefused
from sidecar.features import keystroke
from sidecar.keyring import batch_seal
from sidecar.ports import Captures
from sidecar.tokens import verify_capture
from sidecar.wire import SendBatch, encode_batch

CLOCK_SLACK_SECONDS = 5.0


async def observe(captures: Captures, key: bytes, capture: str, origin: str, sent: SendBatch, *, now: float) -> None:
    """Keep one batch. Raises CaptureRefused, CaptureExpired, CaptureUsed, BatchOutOfOrder, BatchImplausible."""
    claims = verify_capture(sent.token, key, now=now)
    if claims.capture != capture or claims.origin != origin:
        raise CaptureRefused("the token belongs to another capture or origin")
    if keystroke.span_ms([sent.batch]) / 1000 > now - claims.issued + CLOCK_SLACK_SECONDS:
        raise BatchImplausible("the batch claims more time than has passed")
    seal = batch_seal(sent.token)
    sealed = seal.close(encode_batch(sent.batch), "waiting_batches", capture, str(sent.batch.seq))
    await captures.append(capture, sent.batch.seq, sealed, claims.expires)
