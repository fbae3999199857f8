-- Retention by month, legal hold, and indexes for lists and for deleting what is over. Running 0010 code
-- goes on working beside it.

-- Who said that nothing of an incident may be deleted, and why. Releasing it deletes the row; the audit
-- keeps both.
CREATE TABLE legal_hold (
    incident_id  uuid        PRIMARY KEY REFERENCES incident,
    at           timestamptz NOT NULL,
    actor        text        NOT NULL,
    reason       text        NOT NULL
);
-- What every deletion respects.
CREATE VIEW held_incident AS SELECT incident_id FROM legal_hold;
CREATE VIEW held_delivery AS
SELECT DISTINCT a.delivery_id, a.received_at FROM alert a JOIN held_incident h ON h.incident_id = a.incident_id;

-- All partitions with their ranges; of a default one: the range of what lies in it, null when nothing does.
CREATE FUNCTION partitions(OUT parent text, OUT name text, OUT begins timestamptz, OUT ends timestamptz)
RETURNS SETOF record LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = responder, pg_temp AS $$
BEGIN
    FOR parent, name, begins, ends IN
        SELECT p.relname, c.relname, substring(bound FROM 'FROM \(''([^'']+)''\)')::timestamptz,
               substring(bound FROM 'TO \(''([^'']+)''\)')::timestamptz
        FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid,
             pg_get_expr(c.relpartbound, c.oid) bound
        WHERE p.oid IN ('delivery'::regclass, 'alert'::regclass, 'audit_event'::regclass)
    LOOP
        IF name = parent || '_default' THEN
            EXECUTE format('SELECT min(%1$I), max(%1$I) + interval ''1 microsecond'' FROM %2$I',
                           CASE parent WHEN 'audit_event' THEN 'filed_at' ELSE 'received_at' END, name)
            INTO begins, ends;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Whether something there must stay. The month of an incident stays as long as its row is there: so the
-- rows of incidents go first, and those that must stay keep all of the months that they reach into.
CREATE FUNCTION partition_needed(parent text, begins timestamptz, ends timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = responder, pg_temp
RETURN CASE parent
    WHEN 'delivery' THEN
        EXISTS (SELECT FROM delivery d
                WHERE d.triaged_at IS NULL AND d.received_at >= begins AND d.received_at < ends)
        OR EXISTS (SELECT FROM held_delivery d WHERE d.received_at >= begins AND d.received_at < ends)
    ELSE
        EXISTS (SELECT FROM incident i WHERE i.opened_at >= begins AND i.opened_at < ends)
        OR EXISTS (SELECT FROM incident i WHERE i.opened_at < begins
                   AND (i.resolved_at IS NULL OR greatest(i.seen_at, i.resolved_at) >= begins))
END;

-- The one way to drop a partition; returns how many rows went with it. Whoever calls it needs not own the
-- tables, and a stolen role can do no more with it than this: nothing young, and nothing that is needed.
CREATE FUNCTION drop_partition(dropped text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = responder, pg_temp AS $$
DECLARE
    found  record;
    counted bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM partitions() p WHERE p.name = dropped) THEN
        RAISE EXCEPTION '% is no partition', dropped USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', dropped);  -- nothing more comes into it
    SELECT * INTO found FROM partitions() p WHERE p.name = dropped;
    IF found.ends IS NULL
       OR found.ends > now() - (CASE found.parent WHEN 'delivery' THEN interval '7 days' ELSE interval '30 days' END)
       OR partition_needed(found.parent, found.begins, found.ends) THEN
        RAISE EXCEPTION '% is too young to be dropped, or needed', dropped
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format('SELECT count(*) FROM %I', dropped) INTO counted;
    EXECUTE format('DROP TABLE %I', dropped);  -- from here on all who want the whole table wait
    IF dropped = found.parent || '_default' THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', dropped, found.parent);
        IF found.parent = 'audit_event' THEN
            EXECUTE format('CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON %I'
                           ' FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', dropped);
        END IF;
    END IF;
    RETURN counted;
END $$;
REVOKE EXECUTE ON FUNCTION drop_partition FROM PUBLIC;

-- The one way to delete incidents, with all that belongs to them: what points to something goes before it.
CREATE FUNCTION drop_incidents(dropped uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = responder, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM incident i WHERE i.id = ANY(dropped)
               AND (i.status <> 'resolved' OR i.stage <> 'done'
                    OR greatest(i.opened_at, i.seen_at, i.resolved_at) > now() - interval '30 days'))
       OR EXISTS (SELECT FROM held_incident h WHERE h.incident_id = ANY(dropped)) THEN
        RAISE EXCEPTION 'one of these incidents is too young to be dropped, or needed'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM idempotency_key
    WHERE fix_id IN (SELECT id FROM fix WHERE incident_id = ANY(dropped))
       OR approval_id IN (SELECT id FROM approval WHERE incident_id = ANY(dropped));
    DELETE FROM approval WHERE incident_id = ANY(dropped);
    DELETE FROM note WHERE incident_id = ANY(dropped);
    DELETE FROM review WHERE incident_id = ANY(dropped);
    DELETE FROM answer WHERE incident_id = ANY(dropped);
    DELETE FROM escalation WHERE incident_id = ANY(dropped);
    DELETE FROM timer WHERE incident_id = ANY(dropped);
    DELETE FROM condition WHERE incident_id = ANY(dropped);  -- one that fires on begins anew
    UPDATE notification f SET fallback_of = NULL FROM notification n  -- stays, without the page before it
    WHERE n.incident_id = ANY(dropped) AND f.fallback_of = n.id AND f.incident_id IS DISTINCT FROM n.incident_id;
    DELETE FROM notification WHERE incident_id = ANY(dropped);
    DELETE FROM fix WHERE incident_id = ANY(dropped);
    DELETE FROM decision WHERE incident_id = ANY(dropped);
    DELETE FROM incident WHERE id = ANY(dropped);
END $$;
REVOKE EXECUTE ON FUNCTION drop_incidents FROM PUBLIC;

-- Deleting an incident asks these tables for what still points to it.
CREATE INDEX fix_decision ON fix (decision_id);
CREATE INDEX fix_undoes ON fix (undoes) WHERE undoes IS NOT NULL;
CREATE INDEX approval_seen ON approval (seen);
CREATE INDEX approval_fix ON approval (fix_id) WHERE fix_id IS NOT NULL;
CREATE INDEX notification_summary ON notification (summary_id) WHERE summary_id IS NOT NULL;

-- Lists: the filters are answered from the index alone, and its rows are few.
CREATE INDEX incident_list ON incident (opened_at DESC, id DESC) INCLUDE (status, severity, rule, target, title);
DROP INDEX incident_newest;
CREATE INDEX incident_rule ON incident (rule, opened_at DESC, id DESC) WHERE rule IS NOT NULL;
CREATE INDEX notification_list ON notification (created_at DESC, id DESC) INCLUDE (status, receiver);

-- Only days without rows get it now, and all days from now on: so nobody waits for it, and those without it
-- are gone in a month.
CREATE INDEX delivery_not_accepted ON ONLY delivery (outcome, received_at DESC, id DESC) WHERE outcome <> 'accepted';
DO $$
DECLARE
    day    text;
    filled boolean;
BEGIN
    FOR day IN SELECT name FROM partitions() WHERE parent = 'delivery' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', day) INTO filled;
        IF NOT filled THEN
            EXECUTE format('CREATE INDEX %1$I ON %2$I (outcome, received_at DESC, id DESC) WHERE outcome <> ''accepted'';'
                           'ALTER INDEX delivery_not_accepted ATTACH PARTITION %1$I', day || '_not_accepted', day);
        END IF;
    END LOOP;
END $$;
