"""What must not stay silent: a pager that does not answer, our own database away; and the times."""

import statistics

from responder.cli.demo.alerts import Alarm
from responder.cli.demo.api import Document, until
from responder.cli.demo.story import ON_CALL, PAGE_SECONDS, Story, moment

_POSTS = 50


def pager_silent(story: Story) -> None:
    """The stand-in takes one event and never answers it, as a pager on a bad day."""
    pager, screen = story.world.pager, story.screen
    with story.chapter("The pager hangs: the page goes to the fallback too"):
        until("the pager has heard the end of all before", lambda: not pager.open_alerts or None)
        pager.fail("/v2/enqueue", "hang")
        screen.line("fault", "PagerDuty takes the next event and never answers")
        alarm = story.alarm("PaymentsFail", "Every payment is refused", severity="critical")
        told = story.fire(alarm)
        woken = story.hears(
            "slack", told, "the fallback is woken", lambda event: ON_CALL in event["path"]
        )
        seconds = (moment(woken["at"]) - told.posted.at).total_seconds()
        screen.line("fallback", woken["payload"]["text"].splitlines()[0])
        story.expect(seconds < PAGE_SECONDS, f"it was there {seconds:.2f} s after the alert")
        key = story.api.incident(told.incident)["incident"]["dedup_key"]
        story.hears(
            "pagerduty", told, "the pager gets it too", lambda event: event["dedup_key"] == key
        )
        story.expect(True, "and the pager got it with the next attempt")
        pager.heal()
        story.show_trail(told)
        story.resolve(told)


def without_our_database(story: Story) -> None:
    """The process that accepted the alert pages by itself; the sender's retry joins that page."""
    ours, screen = story.world.ours, story.screen
    with story.chapter("The responder's own database is away: the bare page leaves all the same"):
        alarm = story.alarm("CheckoutFails", "Nobody can pay at the checkout", severity="critical")
        ours.stop(keep=True)
        try:
            screen.line("fault", "the responder's own PostgreSQL was stopped")
            at = story.now()
            answer = story.api.try_post(alarm.firing(), alarm.source)
            screen.line("alert", f"{alarm.sender}: {alarm}")
            after = answer.headers.get("Retry-After")
            screen.line("", f"answered {answer.status_code}, Retry-After {after}: nothing was kept")
            story.expect(answer.status_code == 503, "so its sender will tell it again")
            page = until("the bare page is there", lambda: _page(story, alarm))
            seconds = (moment(page["at"]) - at).total_seconds()
            screen.line("pager", page["payload"]["summary"])
            story.expect(seconds < PAGE_SECONDS, f"the page was there {seconds:.2f} s after it")
        finally:
            ours.start()
        until("the responder can keep deliveries again", lambda: story.api.is_ready() or None)
        screen.line("again", "its PostgreSQL was started again, and Alertmanager tells it again")
        told = story.fire(alarm)
        story.decided(told, "no_rule")
        key = story.api.incident(told.incident)["incident"]["dedup_key"]
        story.expect(page["dedup_key"] == key, "the incident is the one of the page")
        story.resolve(told)

        def actions() -> list[str] | None:
            heard = story.world.pager.received()["pagerduty"]
            mine = [event["event_action"] for event in heard if event.get("dedup_key") == key]
            return mine if "resolve" in mine else None

        heard = until("the pager hears the end of it", actions)
        story.expect(heard == ["trigger", "resolve"], f"the pager got {', '.join(heard)}: once")


def _page(story: Story, alarm: Alarm) -> Document | None:
    """The trigger about this alert."""
    for event in story.world.pager.received()["pagerduty"]:
        if event["event_action"] == "trigger" and alarm.summary in event["payload"]["summary"]:
            found: Document = event
            return found
    return None


def numbers(story: Story) -> None:
    """Notices of something that never fired: kept and triaged like all others, and stale."""
    with story.chapter("How long it took"):
        ended = Alarm({"alertname": "DemoIsOver"}, "Nothing", story.now())
        times = [story.api.post(ended.resolved(story.now())).ms for _ in range(_POSTS)]
        p50, slowest = statistics.median(times), max(times)
        story.screen.line(
            "ack", f"p50 {p50:.1f} ms, slowest {slowest:.1f} ms over {_POSTS} posts, each committed"
        )
        for rule, page, question in story.pages:
            story.screen.line(
                "page",
                f"{rule}: {page:.0f} ms after the alert; slowest question {question:.0f} ms",
            )
        refused = story.world.pager.received()["refused"]
        story.expect(not refused, "no receiver refused a message of ours")
