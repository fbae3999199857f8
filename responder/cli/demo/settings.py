"""The demo's responder.toml, and the files that hold its secrets."""

import base64
import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from responder.cli.demo.shop import Shop
from responder.cli.demo.stand_in import StandIn
from responder.domain.ids import new_id
from responder.domain.settings import Settings
from responder.settings import load
from responder.store.vault import new_key
from responder.web.tokens import new_keys

_SETTINGS = """\
# Written by `responder demo`. docs/settings.md explains every key.
database = "file:{folder}/database"
token_keys = "file:{folder}/token_keys"
public_url = "{url}"
autonomy = "act"

[vault]
keys = "file:{folder}/vault_key"

[sources.alertmanager]
type = "alertmanager"
bearer = "file:{folder}/bearer"
basic = {{ user = "alertmanager", password = "file:{folder}/basic" }}

[sources.grafana]
type = "grafana"
secret = "file:{folder}/grafana_secret"
timestamp_header = "X-Grafana-Alerting-Timestamp"

# Two secrets, as in the middle of a rotation: either may sign. The title says what V3 lacks: its
# groups become labels.
[sources.pagerduty]
type = "pagerduty"
secret = ["file:{folder}/pagerduty_new", "file:{folder}/pagerduty_old"]
title_pattern = '^\\[(?P<env>[a-z]+)\\] (?P<alertname>\\w+)(: (?P<email>\\S+@\\S+))?'
token = "file:{folder}/pagerduty_token"
url = "{pager}"

# Any JSON, signed as Standard Webhooks has it.
[sources.monitor]
type = "generic"
secret = "file:{folder}/monitor_secret"
severity = {{ outage = "P0", broken = "P1", sluggish = "P3" }}
labels = {{ env = "production" }}

[sources.monitor.fields]
name = "/check/name"
title = ["/check/text", "/check/name"]
status = "/state"
resolved = ["well"]
severity = "/grade"
fingerprint = "/check/id"
starts_at = "/since"
ends_at = "/until"
labels = {{ instance = "/check/host", env = "/check/stage" }}

[targets.shop_eu]
kind = "shop"
matches = ['env="production"']
reading = "file:{folder}/shop_reading"
writing = "file:{folder}/shop_writing"
# For an index and a vacuum; staging has none, so that they are commands there.
direct_url = "file:{folder}/shop_direct"
# An admin of the shop, for what its own functions allow to admins only.
claims = {{ sub = "{admin}" }}
http = {{ base = "{shop}", paths = ["/health"] }}

[targets.shop_staging]
kind = "shop"
matches = ['env="staging"']
reading = "file:{folder}/shop_staging_reading"
writing = "file:{folder}/shop_staging_writing"
http = {{ base = "{shop_staging}", paths = ["/health"] }}

[receivers.pagerduty]
type = "pagerduty"
url = "{pager}"
routing_key = "file:{folder}/routing_key"
fallback = "slack_on_call"

# PagerDuty's REST API takes 960 requests a minute; the story tells many incidents at once.
[receivers.pagerduty_notes]
type = "pagerduty_notes"
url = "{pager}"
token = "file:{folder}/pagerduty_token"
from = "responder@example.com"
per_minute = 100

[receivers.slack]
type = "slack"
webhook_url = "file:{folder}/slack_incidents"

# Hears nothing of a pager that works.
[receivers.slack_on_call]
type = "slack"
webhook_url = "file:{folder}/slack_on_call"

[receivers.email]
type = "email"
server = "127.0.0.1:{smtp}"
security = "none"
from = "responder@example.com"
to = ["on-call@example.com"]

# A program, not a person: it may hear as much as a test makes us tell in a minute.
[receivers.webhook]
type = "webhook"
url = "{pager}/webhook"
secret = ["file:{folder}/webhook_new", "file:{folder}/webhook_old"]
per_minute = 1000

[[routes]]
receivers = ["pagerduty"]
page = true

[[routes]]
receivers = ["webhook", "slack", "email", "pagerduty_notes"]

# The runbook's emergency contacts and escalation path: docs/escalation.md.
[contacts.database_admin]
title = "Database Admin"
email = "admin@example.com"

[contacts.devops_lead]
title = "DevOps Lead"
email = "devops@example.com"
availability = "business hours"

[contacts.security_team]
title = "Security Team"
email = "security@example.com"
rules = ["credential_leak_suspected", "credential_rotation_due"]

[[levels]]
level = 2
receivers = ["pagerduty"]

[[levels]]
level = 3
contacts = ["devops_lead"]

[[levels]]
level = 4
contacts = ["database_admin"]
severity = ["P0"]

# The runbook's maintenance. None begins while the demo runs, and none without its list.
[[windows]]
name = "weekly"
reason = "Database maintenance"
starts = {maintenance}T02:00:00
rrule = "FREQ=WEEKLY;BYDAY=SU"
duration = "2h"
matches = ['env="production"']
page = false
before = {before}
after = {after}

[[windows]]
name = "monthly"
reason = "Extension updates"
starts = {maintenance}T02:00:00
rrule = "FREQ=MONTHLY;BYDAY=1SU"
duration = "2h"
matches = ['env="production"']
before = {before}
after = {after}

[[windows]]
name = "quarterly"
reason = "Index rebuilds"
starts = {maintenance}T02:00:00
rrule = "FREQ=MONTHLY;INTERVAL=3;BYDAY=1SU"
duration = "2h"
matches = ['env="production"']
before = {before}
after = {after}

[last_resort]
receivers = ["pagerduty"]

[dead_man]
url = "file:{folder}/dead_man"

[seal]
key = "file:{folder}/seal_keys"
copy_to = ["{folder}/seals.jsonl"]
"""

#: The runbook's checklists; its last item, an hour of watching, is the key `watch`.
_BEFORE = """[
    "Notify users 24 hours in advance",
    "Take database snapshot",
    "Test rollback procedure",
    "Prepare status page update",
    "Have rollback plan ready",
]"""
_AFTER = """[
    {item = "Run smoke tests", check = "database_down.server", target = "shop_eu", expect = "rows"},
    "Check error rates",
    {item = "Verify all services operational", check = "database_down.port", target = "shop_eu"},
    "Update status page",
]"""
#: Longer than any demo runs.
_LATER = timedelta(days=3)


class SecretFiles:
    """Files that only we can read, named as the settings name them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, value: str) -> str:
        path = self.path(name)
        path.touch(mode=0o600)
        path.write_text(value, encoding="utf-8")
        return value

    def read(self, name: str) -> str:
        return self.path(name).read_text(encoding="utf-8")

    def make(self, *names: str) -> None:
        for name in names:
            self.write(name, secrets.token_hex(16))

    def make_signing(self, name: str) -> str:
        """A secret as Standard Webhooks writes it."""
        return self.write(name, "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())


def make_secrets(kept: SecretFiles) -> None:
    """All that can be made before anything listens."""
    kept.write("token_keys", new_keys(new_id()))
    kept.write("vault_key", new_key())
    kept.write("seal_keys", new_keys(new_id()))
    kept.make("bearer", "basic", "grafana_secret", "pagerduty_new", "pagerduty_old")
    kept.make("pagerduty_token", "routing_key")
    for name in ("monitor_secret", "webhook_new", "webhook_old"):
        kept.make_signing(name)


def write_settings(
    kept: SecretFiles, database: str, url: str, pager: StandIn, shops: dict[str, Shop]
) -> Settings:
    """The file of settings, read as the responder's own processes read it."""
    kept.write("database", database)
    kept.write("slack_incidents", f"{pager.url}/services/T0DEMO/B0INCIDENTS/{secrets.token_hex(8)}")
    kept.write("slack_on_call", f"{pager.url}/services/T0DEMO/B0ONCALL/{secrets.token_hex(8)}")
    kept.write("dead_man", f"{pager.url}/ping/responder")
    text = _SETTINGS.format(
        folder=json.dumps(str(kept.folder))[1:-1],
        url=url,
        pager=pager.url,
        smtp=pager.smtp_port,
        maintenance=(datetime.now(UTC) + _LATER).date(),
        before=_BEFORE,
        after=_AFTER,
        admin=shops["shop"].play("admin")[0]["id"],
        **{name: shop.front.url for name, shop in shops.items()},
    )
    kept.write("responder.toml", text)
    return load(kept.path("responder.toml"))
