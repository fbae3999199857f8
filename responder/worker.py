"""The worker: binds the job engine's tasks, sweeps up after the dead, runs watches and drains."""

import asyncio
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import procrastinate

from responder.log import about
from responder.one_core import LOOK_EVERY, OneCore, give_way
from responder.pipeline import TRIES, walk
from responder.pipeline.audit.copies import copy_seals
from responder.pipeline.audit.sealing import seal_events
from responder.pipeline.audit.sources import RuleSources
from responder.pipeline.checklist import answer_items
from responder.pipeline.checks import run_checks
from responder.pipeline.digest import tell_digest
from responder.pipeline.drain import Drains
from responder.pipeline.images import encrypt_images
from responder.pipeline.numbers import count_day
from responder.pipeline.pages import Watch, watches
from responder.pipeline.raw import encrypt_bodies
from responder.pipeline.retention import retain
from responder.pipeline.services import Services
from responder.pipeline.triage import triage
from responder.pipeline.turns import Turns
from responder.pipeline.walking import enqueue_walk
from responder.store import CONNECT, OPTIONS, StoreAway, Transaction
from responder.store.incidents import incident_from_row
from responder.store.jobs import DEAD_AFTER, NORMAL, TRIAGE, URGENT, WALK, each_alone
from responder.store.slots import BEAT_EVERY

_HEARTBEAT = 2.0
_SWEEP_EVERY = 2.0
_ANSWER_EVERY = 2.0
_CHECK_EVERY = 2.0
_RETAIN_EVERY = 60.0
_SEAL_EVERY = 1.0
#: No honest walk takes so long; whoever still holds such a job is stuck, and is fenced off.
_LONGEST = timedelta(minutes=5)
#: Jobs whose workers died so often end; the sweeper finds their incident again.
_DEATHS = TRIES + 2
_TIDY_EVERY = timedelta(hours=1)
_TIDYING = (
    "make_partitions",
    "tidy_jobs",
    "tidy_questions",
    "tidy_delivery_keys",
    "tidy_idempotency_keys",
    "tidy_images",
    "tidy_hands",
)
_GRACE = 25.0
_AGAIN = 1.0
#: How long the job engine waits for a connection, and how long it tries to make one by itself: its
#: pauses double, so that it would sleep through the return of our database.
_CONNECT, _RECONNECT = 5.0, 1.0
#: How long it may take to begin; it would wait for half a minute without trying.
_OPEN = 3.0


class Hands:
    """The jobs that this process runs. What it is said to run, and does not, is given back.

    When our database is back at once, as at a failover, the job engine goes on, and the end of a
    job that it was just writing down is lost.
    """

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._workers: set[int] = set()

    @contextmanager
    def of(self, job: procrastinate.jobs.Job) -> Iterator[None]:
        """While it runs here."""
        assert job.id is not None and job.worker_id is not None
        self._workers.add(job.worker_id)
        self._running.add(job.id)
        try:
            yield
        finally:
            self._running.discard(job.id)

    def give_back(self, services: Services) -> None:
        """What somebody else may do now."""
        known = {"workers": tuple(self._workers), "running": tuple(self._running)}
        with services.store.transaction() as tx:
            for job in tx.all("forgotten_jobs", after=DEAD_AFTER, **known):
                _retry(services, tx, job, "the end of a job was not written down")


def run(services: Services, slots: int = 8) -> None:
    """Work until SIGTERM or SIGINT; a quarter of the slots takes P0 and P1 alone.

    One target gets half of the others, and beside them no more than that quarter.
    """
    give_way()
    core = OneCore()
    urgent = max(1, slots // 4)
    turns = Turns(max(1, (slots - urgent) // 2), urgent)
    services = replace(services, turns=turns)
    services.store.open()
    hands = Hands()
    running = [
        *watches(services, messages=True),
        Watch(services, core.look, every=LOOK_EVERY),
        Watch(services, answer_items, every=_ANSWER_EVERY),
        Watch(
            services,
            *(sweep, hands.give_back, tidy, encrypt_bodies, encrypt_images),
            every=_SWEEP_EVERY,
        ),
        Watch(services, run_checks, tell_digest, count_day, every=_CHECK_EVERY),
        Watch(services, retain, every=_RETAIN_EVERY),
        Watch(services, RuleSources(), seal_events, every=_SEAL_EVERY),
        Watch(services, copy_seals, every=_SEAL_EVERY),
        Watch(services, lambda each: each.slots.beat(), every=BEAT_EVERY),
    ]
    drains = Drains(services, slots)
    drains.start()
    for watch in running:
        watch.start()
    try:
        asyncio.run(_work(services, slots, hands))
    finally:
        drains.stop()
        for watch in running:
            watch.stop()
        services.slots.close()
        services.store.close()


async def _work(services: Services, slots: int, hands: Hands) -> None:
    """The job engine gives up when it loses our database; then it begins again, until we stop."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(slots, thread_name_prefix="job"))
    stopped = asyncio.Event()
    for stop in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop, stopped.set)
    stopping = loop.create_task(stopped.wait())
    while not stopped.is_set():
        working = loop.create_task(_workers(services, slots, hands))
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        (why,) = await asyncio.gather(working, return_exceptions=True)
        if not stopped.is_set():
            services.log.warning("the job engine has ended and begins again", exc_info=why)
            await asyncio.wait({stopping}, timeout=_AGAIN)
    services.log.info("worker has stopped")


async def _workers(services: Services, slots: int, hands: Hands) -> None:
    """Both loops; when one ends, so does the other."""
    app = bind(services, hands)
    urgent = max(1, slots // 4)
    try:
        async with asyncio.timeout(_OPEN):
            await app.open_async()
        async with asyncio.TaskGroup() as both:
            both.create_task(_worker(app, [URGENT, NORMAL], slots - urgent))
            both.create_task(_worker(app, [URGENT], urgent))
            services.log.info("worker is ready", slots=slots, urgent=urgent)
    finally:
        await app.close_async()


class _Ended(Exception):
    """The job engine stopped by itself."""


async def _worker(app: procrastinate.App, queues: list[str], slots: int) -> None:
    await app.run_worker_async(
        queues=queues,
        concurrency=slots,
        install_signal_handlers=False,
        fetch_job_polling_interval=1.0,
        update_heartbeat_interval=_HEARTBEAT,
        delete_jobs="successful",
        shutdown_graceful_timeout=_GRACE,
    )
    raise _Ended


def bind(services: Services, hands: Hands) -> procrastinate.App:
    """An App whose tasks work with these services."""
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=services.store.url,
            kwargs={"options": OPTIONS, **CONNECT},
            configure=each_alone,
            timeout=_CONNECT,
            reconnect_timeout=_RECONNECT,
        )
    )
    again = procrastinate.RetryStrategy(max_attempts=TRIES, wait=1)

    @app.task(name=TRIAGE)
    def _triage(delivery: str) -> None:
        """What the release before enqueues, the gravest too, of which its rows say nothing."""
        with _job(services, delivery=delivery):
            triage(services, UUID(delivery))

    @app.task(name=WALK, retry=again, pass_context=True)
    def _walk(context: procrastinate.JobContext, incident: str) -> None:
        with hands.of(context.job), _job(services, incident=incident):
            walk(services, UUID(incident), context.job.attempts)

    return app


@contextmanager
def _job(services: Services, **ids: str) -> Iterator[None]:
    """A database that was away is no failure of the job; the sweeper finds what is left."""
    with about(**ids):
        try:
            yield
        except StoreAway as away:
            services.log.warning("left to the sweeper", why=str(away))
        except Exception:  # told here; the job engine counts it and tries again
            services.log.exception("a job failed")
            raise


def sweep(services: Services) -> None:
    """Give back what a dead worker held, and find what has no job: one pass, one transaction."""
    with services.store.transaction() as tx:
        if not tx.one("try_sweep")["got"]:
            return
        for job in tx.all("stalled_jobs", dead_after=DEAD_AFTER, longest=_LONGEST):
            _retry(services, tx, job, "a worker died with a job")
        tx.run("hurry_jobs")
        _find_forgotten(services, tx)


def _retry(services: Services, tx: Transaction, job: Mapping[str, Any], why: str) -> None:
    """Somebody runs it again; the incident of one that ended so often is found by the sweeper."""
    dead = job["attempts"] >= _DEATHS
    tx.run("fail_job" if dead else "retry_job", id=job["id"])
    services.log.warning(why, job=job["id"], task=job["task_name"], given_up=dead)


def tidy(services: Services) -> None:
    """Once an hour over all workers: partitions ahead, and what nobody needs any more."""
    with services.store.transaction() as tx:
        if tx.one("tidy_due", every=_TIDY_EVERY)["due"]:
            for query in _TIDYING:
                tx.run(query)
            tx.run("drop_raw_bodies", kept_for=services.settings.vault.raw_for)


def _find_forgotten(services: Services, tx: Transaction) -> None:
    for row in tx.all("forgotten_walks"):
        incident = incident_from_row(tx.one("wake_forgotten", id=row["id"]))
        enqueue_walk(tx, incident)
        services.log.warning("an incident had no job", incident=str(incident.id))
