"""What happened each day, counted behind the scenes: a page reads a row a day, whatever came in."""

from datetime import timedelta

from responder.pipeline.services import Services

#: So far back days are counted when the first worker starts; a day that was counted stays.
KEPT = timedelta(days=90)
#: So long after its end a day is counted anew: fixes are verified and incidents end later.
SETTLES = timedelta(days=7)
#: The busiest keys of a day.
MOST = 20


def count_day(services: Services) -> bool:
    """Count the day that is due, today each minute; False when none is."""
    with services.store.transaction() as tx:
        due = tx.maybe("next_day", kept=KEPT, settles=SETTLES)
        if due is None:
            return False
        tx.run("count_day", since=due["since"], until=due["until"], most=MOST)
    return True
