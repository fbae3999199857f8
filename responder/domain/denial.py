"""Why somebody was not let in, or may not do what they asked for."""

from enum import StrEnum


class Denial(StrEnum):
    NO_TOKEN = "no_token"
    NOT_A_TOKEN = "not_a_token"
    UNKNOWN_ISSUER = "unknown_issuer"
    UNKNOWN_KEY = "unknown_key"
    WRONG_SIGNATURE = "wrong_signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_CLAIMS = "wrong_claims"
    REVOKED = "revoked"
    NOT_LOGGED_IN = "not_logged_in"
    WRONG_RETURN = "wrong_return"
    NO_ROLE = "no_role"
    ROLE = "role"
    SCOPE = "scope"
    FOREIGN = "foreign"

    @property
    def known(self) -> bool:
        """Whether we know who it is, so that a login does not help."""
        return self in _OF_SOMEBODY_KNOWN


_OF_SOMEBODY_KNOWN = {Denial.NO_ROLE, Denial.ROLE, Denial.SCOPE, Denial.FOREIGN}
