"""What secrets look like. Each pattern is precise: no id, digest, UUID or SKU looks like one.

A pattern is tried only on a text in which one of its hints occurs, and its repetitions are bounded,
so that no text makes it slow.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """What is found is redacted but for its group `keep`; hints: in lower case, () for any text."""

    kind: str
    hints: Sequence[str]
    regex: re.Pattern[str]

    def redact(self, text: str) -> str:
        return self.regex.sub(self._told, text)

    def _told(self, found: re.Match[str]) -> str:
        return found.groupdict().get("keep", "") + mark(self.kind)


def mark(kind: str) -> str:
    """What stands where something was."""
    return f"[redacted: {kind}]"


#: A value behind a name, in quotes (or escaped ones) or without; not what is redacted already.
VALUE = (
    r"(?!\\*[\"']?\[redacted)(?!(?:true|false|null|none)\b)"
    r"(?:\"(?:\\.|[^\"\\]){1,1000}\"?|'[^']{1,1000}'?"
    r"|(?P<quote>\\+[\"'])(?:(?!(?P=quote)).){1,1000}(?:(?P=quote))?|[^\s\"'\\,;&<>(){}\[\]]{1,1000})"
)
_PASSWORD = (
    r"pass(?:word|wd|phrase)|api[_-]?key|(?:access|refresh|auth|bearer|session)[_-]?token"
    r"|client[_-]?secret|secret[_-]?(?:access[_-]?)?key|webhook[_-]?secret|signing[_-]?secret"
    r"|private[_-]?key"
)
_HINTS_OF_PASSWORD = (
    *("password", "passwd", "passphrase", "api_key", "api-key", "apikey", "_token", "-token"),
    *("secret_", "secret-", "_secret", "-secret", "secretkey", "private_key", "private-key"),
    *("accesstoken", "refreshtoken", "authtoken", "clientsecret", "privatekey"),
)
#: Names of columns and members whose values are secrets, whatever they look like.
NAMES = re.compile(rf"({_PASSWORD}|^(?:x-)?authorization|^(?:set-)?cookie)$", re.I)
#: Names of members whose values are secrets when they are long: elsewhere they name a queue.
OPAQUE_NAMES = re.compile(r"(?:routing|integration|service|events?)[_-]?key$", re.I)
#: One of these stands in every such name, in lower case.
SIGNS_OF_NAMES = ("pass", "key", "token", "secret", "authorization", "cookie")

#: The first that holds is applied first, so a value that is a token goes by the name of its kind.
PATTERNS = (
    Pattern(
        "private key",
        ("private key-----",),
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"
            r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
    ),
    Pattern(
        "password",
        ("@",),  # a URL is in most texts, and a login in few
        re.compile(
            r"(?i)(?P<keep>\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?"
            r"|ldaps?|smtps?|mssql|sqlserver|clickhouse)://[^\s/:@\"']{0,128}:)"
            r"(?!\d{1,5}[/?])(?!\[redacted)[^\s\"'<>]{1,256}(?=@)"
        ),
    ),
    Pattern(
        "password",
        ("@",),
        re.compile(r"(?P<keep>://[^\s/:@\"'?#]{0,128}:)(?!\[redacted)[^\s/@\"'<>?#]{1,256}(?=@)"),
    ),
    Pattern(
        "authorization",
        ("authorization",),
        re.compile(
            r"(?i)(?P<keep>authorization(?:\\*[\"'])?\s{0,4}[:=]\s{0,4}(?:\\*[\"'])?"
            r"(?!\S{0,30}\s{0,4}(?:token=)?\[redacted)"
            r"(?:[a-z][a-z0-9-]{0,20}\s{1,4}(?:token=)?)?)[^\s\"',;\\]{6,4096}"
        ),
    ),
    Pattern(
        "authorization",
        ("bearer", "basic"),
        re.compile(
            r"(?P<keep>\b(?i:bearer|basic)\s{1,4})(?=[A-Za-z._~+/-]{0,64}[\d=])[\w.~+/=-]{16,4096}"
        ),
    ),
    Pattern(
        "token",
        (".eyj",),
        re.compile(  # not from each `-eyJ` of a long text anew: only from where a word begins
            r"(?<![\w-])(?P<keep>(?:[\w-]{0,128}-)?)"
            r"eyJ[\w-]{8,4096}\.eyJ[\w-]{8,4096}\.[\w-]{0,1024}"
        ),
    ),
    Pattern("AWS key", ("akia", "asia"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    Pattern(
        "Slack token",
        ("xox", "xapp-"),
        re.compile(r"\b(?:xox[abeoprs]|xapp)-(?=[\w-]{0,64}\d)[\w-]{10,512}"),
    ),
    Pattern(
        "Slack webhook",
        ("hooks.slack.com",),
        re.compile(r"(?P<keep>hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/-]{8,256}"),
    ),
    Pattern(
        "GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255})"),
    ),
    Pattern("GitLab token", ("glpat-",), re.compile(r"\bglpat-[\w-]{20,255}")),
    Pattern("npm token", ("npm_",), re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    Pattern(
        "Stripe key",
        ("k_live_", "k_test_"),
        re.compile(r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{10,255}"),
    ),
    Pattern("signing secret", ("whsec_",), re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]{16,512}")),
    Pattern(
        "Supabase key",
        ("sb_", "sbp_"),
        re.compile(r"\b(?:sb_(?:secret|publishable)_[\w-]{10,255}|sbp_[0-9a-f]{40})"),
    ),
    Pattern(
        "Shopify token", ("shp",), re.compile(r"\bshp(?:at|ca|pa|ss|ua|tka)_[0-9a-fA-F]{16,64}")
    ),
    Pattern("SendGrid key", ("sg.",), re.compile(r"\bSG\.[\w-]{16,64}\.[\w-]{16,128}")),
    Pattern("Google key", ("aiza",), re.compile(r"\bAIza[\w-]{35}")),
    Pattern(
        "API key",
        ("sk-ant-", "sk-proj-", "sk-svcacct-", "sk-or-"),
        re.compile(r"\bsk-(?:ant|proj|svcacct|or)-[\w-]{16,255}"),
    ),
    Pattern(
        "PagerDuty key",
        ("ing_key", "ing-key", "ion_key", "token=", "events_key", "ce_key"),
        re.compile(
            r"(?i)(?P<keep>(?:(?:routing|integration|service|events?)[_-]key(?:\\*[\"'])?\s{0,4}[:=]"
            r"|\btoken\s{1,4}token=)\s{0,4}(?:\\*[\"'])?)[\w+-]{20,64}"
        ),
    ),
    Pattern(
        "token",
        ("token=",),
        re.compile(r"(?i)(?P<keep>(?<![\w-])token=)(?=[a-z._~+/-]{0,64}\d)[\w.~+/=-]{16,4096}"),
    ),
    Pattern(
        "password",
        _HINTS_OF_PASSWORD,
        re.compile(
            rf"(?i)(?P<keep>(?:{_PASSWORD})(?:\\*[\"']\s{{0,4}}:|(?:\\*[\"'])?\s{{0,4}}=)\s{{0,4}})"
            rf"{VALUE}"
        ),
    ),
    Pattern(
        "password",
        _HINTS_OF_PASSWORD,
        re.compile(
            rf"(?i)(?P<keep>(?:{_PASSWORD})\s{{0,4}}:\s{{0,4}})"
            r"(?!\[redacted)(?=[^\s\d]{0,64}\d)[^\s\"',;<>(){}\[\]]{6,512}"
        ),
    ),
    Pattern(
        "password",
        ("password",),
        re.compile(r"(?i)(?P<keep>\bpassword\s{1,4})'[^']{1,1000}'"),
    ),
)
