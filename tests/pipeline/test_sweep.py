"""What the sweeper gives back."""

from procrastinate.jobs import Job

from responder.worker import Hands, sweep
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


def begun(house: House) -> Job:
    """A job that a living worker runs since half a minute."""
    house.post(alert("ShopifyQueueStuck"))
    house.run_triage()
    (worker,) = house.sql("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
    (job,) = house.sql(
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s"
        " RETURNING id, lock, task_name, worker_id",
        worker["id"],
    )
    house.sql("UPDATE procrastinate_events SET at = at - interval '30 s' RETURNING id")
    return Job(**job, queue="normal", queueing_lock=None)


def test_the_end_of_a_job_that_was_never_written_down(house: House) -> None:
    """As after a failover that was quicker than the job engine: its worker goes on, without it."""
    hands, job = Hands(), begun(house)
    with hands.of(job):
        hands.give_back(house.services)
        sweep(house.services)
        assert house.jobs() == [], "it runs"
    Hands().give_back(house.services)
    assert house.jobs() == [], "another process knows nothing of it"
    hands.give_back(house.services)
    assert [each["id"] for each in house.jobs()] == [job.id]
    house.run_jobs()
    assert house.gap() == (0, 0)


def test_a_job_that_ended_just_now_is_not_given_back(house: House) -> None:
    """Its end is being written down."""
    hands, job = Hands(), begun(house)
    house.sql("UPDATE procrastinate_events SET at = now() RETURNING id")
    with hands.of(job):
        pass
    hands.give_back(house.services)
    assert house.jobs() == []
