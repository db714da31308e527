"""Note in the installation's audit chain that another policy came into force."""

from sidecar.policy.language import Policy
from sidecar.ports import Audit, AuditEntry

INSTALLATION = "*"
KIND = "policy.loaded"


async def loaded(audit: Audit, policy: Policy, now: float) -> bool:
    """Note the policy unless it is the one noted last; tell whether it was news."""
    last = await audit.last_of(INSTALLATION, KIND)
    if last is not None and last.entry.details.get("sha256") == policy.digest:
        return False
    details = {"id": policy.id, "sha256": policy.digest, "rules": [rule.id for rule in policy.rules]}
    await audit.add([AuditEntry(INSTALLATION, KIND, "sidecar", "", details, now)])
    return True
