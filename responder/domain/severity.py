"""P0 to P3, and the words that senders use for them."""

from collections.abc import Mapping
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is; P0 is the most severe, and `min` picks the more severe of two."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"

    @property
    def rank(self) -> int:
        """0 is the most severe."""
        return list(Severity).index(self)

    @property
    def pages(self) -> bool:
        """P0 and P1 wake somebody at once and are never fixed automatically."""
        return self in (Severity.P0, Severity.P1)


_WORDS = {
    Severity.P0: "p0 critical crit severe page fatal disaster emergency alarm down failing sev0",
    Severity.P1: "p1 error high major sev1",
    Severity.P2: "p2 warning warn medium average minor sev2",
    Severity.P3: "p3 info informational none low debug sev3 sev4 p4 p5",
}
#: What each word means unless a source's own map says otherwise (DESIGN 9).
SEVERITY_WORDS: Mapping[str, Severity] = {
    word: severity for severity, words in _WORDS.items() for word in words.split()
}


def read_severity(word: str, own_words: Mapping[str, Severity]) -> Severity | None:
    """The severity that a sender's word declares, or None when nobody knows the word.

    `own_words` is the source's map; its words (lower case) win over the shared ones.
    """
    word = word.strip().lower()
    return own_words.get(word) or SEVERITY_WORDS.get(word)
