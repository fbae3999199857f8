"""Every word that DESIGN 9 knows, in any case; a source's own map wins."""

import pytest

from responder.domain.severity import SEVERITY_WORDS, Severity, read_severity

WORDS = {
    Severity.P0: "P0 critical crit severe page fatal disaster emergency ALARM DOWN FAILING Sev0",
    Severity.P1: "P1 error high major Sev1",
    Severity.P2: "P2 warning warn medium average minor Sev2",
    Severity.P3: "P3 info informational none low debug Sev3 Sev4 P4 P5",
}
TABLE = [(word, severity) for severity, words in WORDS.items() for word in words.split()]


@pytest.mark.parametrize(("word", "severity"), TABLE)
def test_a_word_in_any_case(word: str, severity: Severity) -> None:
    spellings = (word, word.upper(), word.lower(), word.title(), f"  {word}\n")
    assert {read_severity(spelling, {}) for spelling in spellings} == {severity}


def test_the_table_has_them_all() -> None:
    assert {word.lower() for word, _ in TABLE} == set(SEVERITY_WORDS)


@pytest.mark.parametrize("word", ["", "quite bad", "P6", "P-1", "5", "critical!", "p 0"])
def test_an_unknown_word_is_not_guessed(word: str) -> None:
    assert read_severity(word, {}) is None


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", Severity.P2),  # theirs, not ours
        ("CRITICAL", Severity.P2),
        ("Tier-1", Severity.P1),
        ("P1", Severity.P0),
        ("warning", Severity.P2),  # ours where theirs is silent
        ("tier-9", None),
    ],
)
def test_a_sources_own_words_win(word: str, severity: Severity | None) -> None:
    own = {"critical": Severity.P2, "tier-1": Severity.P1, "p1": Severity.P0}
    assert read_severity(word, own) == severity


def test_the_more_severe_is_the_smaller_and_two_of_them_page() -> None:
    assert min(Severity.P3, Severity.P1, Severity.P2) == Severity.P1
    assert [severity for severity in Severity if severity.pages] == [Severity.P0, Severity.P1]
