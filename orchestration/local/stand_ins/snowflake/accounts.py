"""What an account has: its objects, who may use them, and the public keys of its users."""

from collections import deque
from dataclasses import dataclass, field

from fakesnow.instance import FakeSnow

# By its kind and its name: a role, a user, a warehouse, an integration.
Object = tuple[str, str]
ADMINISTRATOR = "ADMINISTRATOR"
SYSTEM_ROLES = ("ACCOUNTADMIN", "SECURITYADMIN", "USERADMIN", "SYSADMIN", "PUBLIC")
SYSTEM_GRANTS = (
    (("ROLE", "ACCOUNTADMIN"), ("USER", ADMINISTRATOR)),
    (("ROLE", "SECURITYADMIN"), ("ROLE", "ACCOUNTADMIN")),
    (("ROLE", "USERADMIN"), ("ROLE", "SECURITYADMIN")),
    (("ROLE", "SYSADMIN"), ("ROLE", "ACCOUNTADMIN")),
)


@dataclass
class Account:
    """What an account has beside its databases: its objects, and the public key of each user."""

    databases: FakeSnow | None = None
    objects: set[Object] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    # A role or a warehouse, and the role or the user that may use it.
    grants: set[tuple[Object, Object]] = field(default_factory=lambda: set(SYSTEM_GRANTS))
    # Seconds after which a statement is cancelled, by warehouse.
    timeouts: dict[str, int] = field(default_factory=dict)
    # What was sent, and with which tag.
    history: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=10_000))

    def may_use(self, whose: Object) -> set[Object]:
        """What a role or a user may use, by roles of roles too (user-guide/security-access-control-overview)."""
        found, new = set(), {whose, ("ROLE", "PUBLIC")}
        while new:
            found |= new
            new = {what for what, to in self.grants if to in found} - found
        return found


ACCOUNTS: dict[str, Account] = {}
