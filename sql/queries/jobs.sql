-- name: try_sweep
-- One sweeper at a time over all hosts, for the whole pass.
SELECT pg_try_advisory_xact_lock(hashtextextended('responder:sweep', 0)) AS got;

-- name: stalled_jobs
-- Jobs in the hands of a worker that is dead, or that has held them for impossibly long.
SELECT j.id, j.task_name, j.attempts
FROM responder_jobs.procrastinate_jobs j
LEFT JOIN responder_jobs.procrastinate_workers w ON w.id = j.worker_id
WHERE j.status = 'doing'
  AND (w.id IS NULL OR w.last_heartbeat < now() - %(dead_after)s::interval
       OR now() - %(longest)s::interval > (
           SELECT max(e.at) FROM responder_jobs.procrastinate_events e
           WHERE e.job_id = j.id AND e.type = 'started'));

-- name: forgotten_jobs
-- Jobs that these workers have begun and do not run any more: that they ended was never written down.
SELECT j.id, j.task_name, j.attempts
FROM responder_jobs.procrastinate_jobs j
WHERE j.status = 'doing' AND j.worker_id = ANY(%(workers)s) AND j.id <> ALL(%(running)s)
  AND now() - %(after)s::interval > (
      SELECT max(e.at) FROM responder_jobs.procrastinate_events e
      WHERE e.job_id = j.id AND e.type = 'started')
FOR UPDATE OF j SKIP LOCKED;

-- name: retry_job
-- The job goes back to the queue, with one more attempt counted.
SELECT responder_jobs.procrastinate_retry_job_v1(%(id)s, now(), NULL, NULL, NULL);

-- name: hurry_jobs
-- A job that failed waits for a second by the clock of its worker's host; where that clock is wrong, no longer.
UPDATE responder_jobs.procrastinate_jobs SET scheduled_at = NULL
WHERE status = 'todo' AND scheduled_at > now() + interval '2 s';

-- name: fail_job
-- The job is over; its delivery or incident is found again by the sweeper.
SELECT responder_jobs.procrastinate_finish_job_v1(%(id)s, 'failed', false);

-- name: tidy_jobs
-- Failed jobs are history after a week; the audit keeps what happened.
DELETE FROM responder_jobs.procrastinate_jobs j
WHERE j.status IN ('succeeded', 'failed', 'cancelled', 'aborted')
  AND NOT EXISTS (SELECT FROM responder_jobs.procrastinate_events e
                  WHERE e.job_id = j.id AND e.at > now() - interval '7 days');

-- name: tidy_questions
-- Answers that nobody can share any more.
DELETE FROM question WHERE asked_at < %(now)s - interval '1 hour' AND asker IS NULL;

-- name: tidy_delivery_keys
-- A sender's own ids are remembered for seven days.
DELETE FROM delivery_key WHERE received_at < %(now)s - interval '7 days';

-- name: tidy_idempotency_keys
-- A request is remembered for a day.
DELETE FROM idempotency_key WHERE at < %(now)s - interval '1 day';

-- name: make_partitions
-- The partitions of the coming days and months.
SELECT make_partitions(%(now)s);

-- name: drop_raw_bodies
-- Bodies that were kept for as long as they may be.
SELECT drop_raw_bodies(%(now)s - %(kept_for)s::interval);

-- name: try_slot
-- One of a target's connections, for this session.
SELECT pg_try_advisory_lock(hashtextextended('responder:slot:' || %(name)s, 0));

-- name: free_slot
-- The connection is free again.
SELECT pg_advisory_unlock(hashtextextended('responder:slot:' || %(name)s, 0));

-- name: leave_when_silent
-- The session of a process that stands still ends, and its slots are free; older servers know no such end.
SELECT set_config('idle_session_timeout', '15s', false) WHERE current_setting('server_version_num')::int >= 140000;

-- name: beat
-- The process is alive.
SELECT true;

-- name: tidy_due
-- Whether it is time to tidy up, and if so, now it is done.
WITH tidied AS (
    UPDATE housekeeping SET tidied_at = %(now)s WHERE tidied_at < %(now)s - %(every)s::interval RETURNING 1)
SELECT EXISTS (SELECT FROM tidied) AS due;
