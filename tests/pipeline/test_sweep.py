"""What the sweeper gives back."""

from responder.worker import sweep
from tests.house import House, alert


def test_a_failed_job_waits_for_no_clock_but_our_databases(house: House) -> None:
    """Its worker's host was an hour ahead when it said `in a second`."""
    house.post(alert("Odd", severity="critical"))
    house.run_triage()
    (job,) = house.jobs()
    house.sql(
        "UPDATE responder_jobs.procrastinate_jobs SET scheduled_at = now() + interval '1 hour'"
        " WHERE id = %s",
        job["id"],
    )
    sweep(house.services)
    due = "SELECT id FROM responder_jobs.procrastinate_jobs WHERE scheduled_at IS NULL"
    assert house.sql(due) == [{"id": job["id"]}]
    house.sql("UPDATE responder_jobs.procrastinate_jobs SET scheduled_at = now() + interval '1 s'")
    sweep(house.services)
    assert house.sql(due) == [], "a second is a second"
