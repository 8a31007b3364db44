"""
The set-based statements of the hot path. Each does a whole chunk, takes its locks in one fixed order,
and never mentions a value: those are parameters.
"""

from notifications import choices

# One statement, however many events. Rows whose type, category or topic does not exist, or whose key was
# used, are left out; events.accept() finds out which. LEFT JOIN ... IS NULL keeps "not given" apart from "not found".
ACCEPT = """
INSERT INTO notifications_event (
    id, producer_id, idempotency_key, fingerprint, trace_id, type_id, category_id, priority, lane, title, body,
    data, template_data, action_url, actor, object, tags, channels, digest_key, email_if_unread_after, expires_at,
    usernames, topic_id, everyone, zone, state, due_at, token, attempts, cursor, unknown_users, error, accepted_at)
SELECT r.id, %(producer)s, r.key, r.fingerprint, %(trace)s, t.key, coalesce(r.category, t.category_id),
    coalesce(r.priority, t.priority), r.lanes->>coalesce(r.priority, t.priority),
    coalesce(nullif(r.title, ''), t.title), r.body, r.data, r.template_data, r.action_url, r.actor, r.object, r.tags,
    r.channels, r.digest_key, r.email_if_unread_after, r.expires_at, r.usernames, o.id, r.everyone, r.zone,
    'accepted', r.due_at, 0, 0, 0, '{}', '', %(now)s
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    id uuid, key text, fingerprint text, type text, category text, priority text, lanes jsonb,
    title text, body text, data jsonb, template_data jsonb, action_url text, actor text, object text, tags text[],
    channels text[], digest_key text, email_if_unread_after int, expires_at timestamptz, usernames text[],
    topic text, everyone bool, zone text, due_at timestamptz)
JOIN notifications_type t ON t.key = r.type
LEFT JOIN notifications_category c ON c.key = r.category
LEFT JOIN notifications_topic o ON o.key = r.topic
WHERE (r.category IS NULL) = (c.key IS NULL) AND (r.topic IS NULL) = (o.id IS NULL)
ORDER BY r.id
ON CONFLICT (producer_id, idempotency_key) DO NOTHING
RETURNING id, lane
"""

IN_LANE, BY_ID = "lane = %(lane)s", "id = %(id)s"
CLAIM_EVENTS = """
WITH due AS MATERIALIZED (
    SELECT id, type_id, topic_id FROM notifications_event
    WHERE {which} AND due_at <= %(now)s
    ORDER BY due_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE notifications_event e
SET state = CASE e.state WHEN 'retracting' THEN e.state ELSE 'processing' END,
    due_at = %(until)s, token = e.token + 1, attempts = e.attempts + 1
FROM due JOIN notifications_type t ON t.key = due.type_id LEFT JOIN notifications_topic o ON o.id = due.topic_id
WHERE e.id = due.id
RETURNING e.id, e.token, e.attempts, e.state, e.trace_id, e.type_id, e.category_id, e.priority, e.lane, e.title,
    e.body, e.data, e.template_data, e.action_url, e.actor, e.object, e.tags, e.channels, t.channels, t.required,
    t.not_allowed, e.digest_key, e.email_if_unread_after, e.expires_at, e.usernames, e.topic_id, o.key, e.everyone,
    e.zone, EXISTS (SELECT FROM notifications_template w
                    WHERE w.type_id = e.type_id AND w.channel = 'in_app' AND w.current),
    e.cursor, e.error, e.cursor
"""

ADVANCE_EVENTS = """
UPDATE notifications_event e
SET cursor = greatest(e.cursor, v.cursor),
    -- A chunk that is repeated after a crash has reported its unknown names already.
    unknown_users = CASE WHEN v.cursor > e.cursor
        THEN e.unknown_users || ARRAY(SELECT jsonb_array_elements_text(v.unknown::jsonb))::varchar[]
        ELSE e.unknown_users END,
    -- It got on: what may have gone wrong before was not this event.
    attempts = 1, error = '',
    state = CASE WHEN v.done THEN 'processed' ELSE e.state END,
    due_at = CASE WHEN v.done THEN NULL ELSE %(until)s END,
    processed_at = CASE WHEN v.done THEN %(now)s END
FROM unnest(%(ids)s::uuid[], %(tokens)s::int[], %(cursors)s::bigint[], %(done)s::bool[], %(unknown)s::text[])
    AS v(id, token, cursor, done, unknown)
WHERE e.id = v.id AND e.token = v.token AND e.state = 'processing'
RETURNING e.id
"""

# Head bump and insert in one statement. The head's row lock is held to commit, so a person's sequence order
# is commit order without holes; users are locked in id order, so that two chunks cannot wait for each other.
# A line that is already there (an expansion repeated after a crash) takes no number.
ADD_NOTIFICATIONS = """
WITH given AS (
    SELECT g.* FROM unnest(%(events)s::uuid[], %(users)s::bigint[], %(visible)s::bool[], %(decisions)s::text[],
                           %(titles)s::text[], %(bodies)s::text[])
        WITH ORDINALITY AS g(event_id, user_id, visible, decisions, title, body, place)
    WHERE NOT EXISTS (SELECT FROM notifications_notification n
                      WHERE n.event_id = g.event_id AND n.user_id = g.user_id)),
line AS (SELECT *, row_number() OVER (PARTITION BY user_id, visible ORDER BY place) AS nth FROM given),
tally AS (SELECT user_id, count(*) AS n FROM given WHERE visible GROUP BY user_id),
head AS (
    INSERT INTO notifications_inboxhead AS h (user_id, epoch, head_seq, unread, unseen, choices, read_watermark)
    SELECT user_id, %(epoch)s, n, n, n, 0, 0 FROM tally ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET
        head_seq = h.head_seq + EXCLUDED.head_seq, unread = h.unread + EXCLUDED.unread,
        unseen = h.unseen + EXCLUDED.unseen
    RETURNING user_id, head_seq, unread, unseen, choices),
added AS (
    INSERT INTO notifications_notification (event_id, user_id, rev, created_at, decisions, title, body)
    SELECT l.event_id, l.user_id, CASE WHEN l.visible THEN h.head_seq - t.n + l.nth END, %(now)s, l.decisions::jsonb,
        l.title, l.body
    FROM line l LEFT JOIN tally t USING (user_id) LEFT JOIN head h USING (user_id)
    ORDER BY l.place
    RETURNING id, event_id, user_id, rev)
SELECT a.id, a.event_id, a.user_id, a.rev, h.unread - (h.head_seq - a.rev), h.unseen - (h.head_seq - a.rev), h.choices
FROM added a LEFT JOIN head h USING (user_id) ORDER BY a.id
"""

ADD_DELIVERIES = """
INSERT INTO notifications_delivery (
    notification_id, channel, address, lane, state, reason, rule, due_at, token, attempts, in_flight, lost_claims,
    code, provider_id, created_at)
SELECT v.notification_id, v.channel, v.address, v.lane, 'pending', v.reason, v.rule, v.due_at, 0, 0, false, 0, '', '',
    %(now)s
FROM unnest(%(notifications)s::bigint[], %(channels)s::text[], %(addresses)s::text[], %(lanes)s::text[],
            %(reasons)s::text[], %(rules)s::text[], %(due)s::timestamptz[])
    AS v(notification_id, channel, address, lane, reason, rule, due_at)
ON CONFLICT (notification_id, channel, address) DO NOTHING
RETURNING id, notification_id, channel, address
"""

# What a message is made of, and what decides whether it still goes: of event e, type t, topic o, line n, head h.
ITEM = """
    n.id, e.id, e.trace_id, e.type_id, e.category_id, e.priority, coalesce(n.title, e.title), coalesce(n.body, e.body),
    e.data, e.template_data, e.action_url, e.actor, e.object, e.tags, n.created_at, e.expires_at,
    e.state = 'cancelled', e.retracted_at IS NOT NULL,
    coalesce(n.read_at IS NOT NULL OR n.rev <= h.read_watermark OR n.deleted_at IS NOT NULL, false),
    e.email_if_unread_after IS NOT NULL AND n.rev IS NOT NULL, e.digest_key,
    o.key, t.channels, e.channels, t.required, t.not_allowed, t.resend_unknown"""

# The claim of a digest's delivery closes the digest: from then on a new item opens the next one. Windows are
# locked in the order in which GATHER locks them. `lost` is true when a holder before had begun and never
# recorded anything (it died), or had no answer: its message may have been sent.
CLAIM_DELIVERIES = f"""
WITH due AS MATERIALIZED (
    SELECT id, notification_id, digest_id, address, in_flight FROM notifications_delivery
    WHERE channel = %(channel)s AND lane = %(lane)s AND due_at <= %(now)s
    ORDER BY due_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED),
closing AS MATERIALIZED (
    SELECT g.id FROM notifications_digest g JOIN due ON due.digest_id = g.id AND due.notification_id IS NULL
    WHERE g.open ORDER BY g.user_id, g.channel, g.address, g.category_id, g.key FOR UPDATE OF g),
closed AS (
    UPDATE notifications_digest g SET open = false, closed_at = %(now)s FROM closing WHERE g.id = closing.id)
UPDATE notifications_delivery d
SET due_at = %(until)s, token = d.token + 1, attempts = d.attempts + 1,
    lost_claims = d.lost_claims + due.in_flight::int, in_flight = false
FROM due
LEFT JOIN notifications_notification n ON n.id = due.notification_id
LEFT JOIN notifications_event e ON e.id = n.event_id
LEFT JOIN notifications_type t ON t.key = e.type_id LEFT JOIN notifications_topic o ON o.id = e.topic_id
LEFT JOIN notifications_digest g ON g.id = due.digest_id
JOIN core_user u ON u.id = coalesce(n.user_id, g.user_id)
LEFT JOIN notifications_inboxhead h ON h.user_id = u.id
LEFT JOIN notifications_device v ON %(channel)s = 'push' AND v.user_id = u.id AND v.gone_at IS NULL
    AND due.address = 'device:' || v.id
LEFT JOIN notifications_suppression x ON x.channel = %(channel)s AND x.address = lower(due.address)
{choices.JOINS}
WHERE d.id = due.id
RETURNING d.id, d.token, d.attempts, d.lost_claims > 0 OR EXISTS (
        SELECT FROM notifications_attempt a WHERE a.delivery_id = d.id AND a.result = 'unknown'),
    d.channel, d.address, g.id, g.category_id, u.id, u.username, u.first_name, u.last_name, coalesce(h.choices, 0),
    coalesce(x.until > %(now)s, x.id IS NOT NULL), v.id, v.address::text, v.locale, {choices.columns()}, {ITEM}
"""

# Windows are found or opened in one fixed order; a window that is being closed is waited for, and then not found.
# Whose window would end sooner brings the end of this one forward; its delivery is not waited for: who holds it
# is about to close it. The attempt that a claim counted did not take place.
GATHER = """
WITH given AS (
    SELECT * FROM unnest(%(id)s::bigint[], %(token)s::int[], %(user_id)s::bigint[], %(channel)s::text[],
        %(address)s::text[], %(category)s::text[], %(key)s::text[], %(reason)s::text[], %(rule)s::text[],
        %(due_at)s::timestamptz[])
        AS v(id, token, user_id, channel, address, category, key, reason, rule, due_at)),
held AS MATERIALIZED (
    SELECT v.* FROM given v JOIN notifications_delivery d
        ON d.id = v.id AND d.token = v.token AND d.state = 'pending' ORDER BY d.id FOR UPDATE OF d),
digest AS (
    INSERT INTO notifications_digest AS g (user_id, channel, address, category_id, key, open, opened_at)
    SELECT user_id, channel, address, category, key, true, %(now)s FROM held
    GROUP BY user_id, channel, address, category, key ORDER BY user_id, channel, address, category, key
    ON CONFLICT (user_id, channel, address, category_id, key) WHERE open DO UPDATE SET open = true
    RETURNING id, user_id, channel, address, category_id, key, xmax = 0 AS fresh),
carrier AS (
    INSERT INTO notifications_delivery (
        digest_id, channel, address, lane, state, reason, rule, due_at, token, attempts, in_flight, lost_claims,
        code, provider_id, created_at)
    SELECT g.id, g.channel, g.address, 'digest', 'pending', 'digest', '', min(v.due_at), 0, 0, false, 0, '', '', %(now)s
    FROM digest g JOIN held v ON (v.user_id, v.channel, v.address, v.category, v.key)
        = (g.user_id, g.channel, g.address, g.category_id, g.key)
    WHERE g.fresh GROUP BY g.id, g.channel, g.address ORDER BY g.id),
carrying AS MATERIALIZED (
    SELECT c.id, c.digest_id, c.due_at FROM digest g JOIN notifications_delivery c ON c.digest_id = g.id
    WHERE NOT g.fresh AND c.notification_id IS NULL AND c.due_at > %(now)s FOR UPDATE OF c SKIP LOCKED),
sooner AS (
    UPDATE notifications_delivery c SET due_at = s.due_at FROM (
        SELECT k.id, min(v.due_at) AS due_at FROM carrying k JOIN digest g ON g.id = k.digest_id
        JOIN held v ON (v.user_id, v.channel, v.address, v.category, v.key)
            = (g.user_id, g.channel, g.address, g.category_id, g.key)
        GROUP BY k.id, k.due_at HAVING min(v.due_at) < k.due_at) s
    WHERE c.id = s.id)
UPDATE notifications_delivery d
SET state = 'digested', digest_id = g.id, reason = v.reason, rule = v.rule, due_at = NULL, ended_at = %(now)s,
    in_flight = false, attempts = d.attempts - (d.token > 0)::int
FROM held v JOIN digest g ON (v.user_id, v.channel, v.address, v.category, v.key)
    = (g.user_id, g.channel, g.address, g.category_id, g.key)
WHERE d.id = v.id
RETURNING d.id
"""

DIGEST_ITEMS = f"""
SELECT d.digest_id, d.id, {ITEM}
FROM notifications_delivery d
JOIN notifications_notification n ON n.id = d.notification_id
JOIN notifications_event e ON e.id = n.event_id
JOIN notifications_type t ON t.key = e.type_id
LEFT JOIN notifications_topic o ON o.id = e.topic_id
LEFT JOIN notifications_inboxhead h ON h.user_id = n.user_id
WHERE d.digest_id = ANY(%(digests)s) AND d.state = 'digested'
ORDER BY d.digest_id, n.id
"""

# What a digest waited for will not come: it is closed, so that nobody else waits in it.
END_SWITCHED_OFF = """
WITH ended AS (
    UPDATE notifications_delivery
    SET state = 'suppressed', reason = 'not_installed', due_at = NULL, ended_at = %(now)s
    WHERE due_at <= %(now)s AND NOT channel = ANY(%(channels)s)
    RETURNING digest_id),
closed AS (
    UPDATE notifications_digest g SET open = false, closed_at = %(now)s
    FROM ended WHERE g.id = ended.digest_id AND g.open)
SELECT count(*) FROM ended
"""

# Just before the call: from here on a death may leave a message that was sent. Who changed their choices since
# the claim looked at them is left out, and so is a device that went away: it must be decided again.
BEGIN_DELIVERIES = """
UPDATE notifications_delivery d SET in_flight = true
FROM unnest(%(ids)s::bigint[], %(tokens)s::int[], %(users)s::bigint[], %(stamps)s::bigint[])
    AS v(id, token, user_id, stamp)
LEFT JOIN notifications_inboxhead h ON h.user_id = v.user_id
WHERE d.id = v.id AND d.token = v.token AND d.state = 'pending' AND coalesce(h.choices, 0) = v.stamp
    AND (d.channel <> 'push' OR d.address IN (
        SELECT 'device:' || o.id FROM notifications_device o WHERE o.user_id = v.user_id AND o.gone_at IS NULL))
RETURNING d.id
"""

# Compare-and-set on (id, token): a worker whose lease was lost matches nothing. The attempt row goes in with it.
# A night that was held to on choices that have changed since is looked at again at once: who changes them has
# looked for held rows under the same lock, and did not see this one.
RECORD_DELIVERIES = """
WITH head AS MATERIALIZED (
    SELECT h.user_id, h.choices FROM notifications_inboxhead h
    WHERE h.user_id = ANY(%(sleepers)s::bigint[]) ORDER BY h.user_id FOR SHARE OF h),
done AS (
    UPDATE notifications_delivery d
    SET state = v.state, reason = v.reason, rule = coalesce(nullif(v.rule, ''), d.rule),
        due_at = CASE WHEN head.choices <> v.stamp THEN %(now)s ELSE v.due_at END,
        in_flight = false, code = v.code, provider = coalesce(nullif(v.provider, ''), d.provider),
        provider_id = v.provider_id, attempts = d.attempts - v.refund,
        ended_at = CASE WHEN v.state <> 'pending' THEN %(now)s END
    FROM unnest(%(ids)s::bigint[], %(tokens)s::int[], %(states)s::text[], %(reasons)s::text[], %(due)s::timestamptz[],
                %(codes)s::text[], %(provider_ids)s::text[], %(refunds)s::int[], %(rules)s::text[],
                %(providers)s::text[], %(users)s::bigint[], %(stamps)s::bigint[])
        AS v(id, token, state, reason, due_at, code, provider_id, refund, rule, provider, user_id, stamp)
    LEFT JOIN head ON head.user_id = v.user_id AND v.reason = 'quiet_hours'
    WHERE d.id = v.id AND d.token = v.token AND d.state = 'pending'
    RETURNING d.id),
tried AS (
    INSERT INTO notifications_attempt (delivery_id, token, result, code, detail, started_at, ended_at)
    SELECT a.* FROM unnest(%(ids)s::bigint[], %(tokens)s::int[], %(results)s::text[], %(codes)s::text[],
        %(details)s::text[], %(started)s::timestamptz[], %(ended)s::timestamptz[])
        AS a(id, token, result, code, detail, started_at, ended_at)
    JOIN done USING (id) WHERE a.result <> '')
SELECT id FROM done
"""

# What a person did to their lines. `wm` is the head's read watermark; every touched row takes a number above it,
# so a read that stood only in the watermark is written into the row first.
CHANGE_NOTIFICATIONS = """
WITH target AS (
    SELECT n.id, n.archived_at IS NULL AND n.read_at IS NULL AND n.rev > %(wm)s AS unread,
        n.archived_at IS NULL AND n.seen_at IS NULL AND n.rev > %(wm)s AS unseen,
        coalesce(n.read_at, mark.at) AS read_at, coalesce(n.seen_at, mark.at) AS seen_at,
        row_number() OVER (ORDER BY n.id) AS nth
    FROM notifications_notification n
    LEFT JOIN LATERAL (SELECT m.at FROM notifications_readmark m
                       WHERE m.user_id = n.user_id AND m.seq >= n.rev ORDER BY m.seq LIMIT 1) mark ON true
    WHERE n.user_id = %(user)s AND n.deleted_at IS NULL AND n.rev IS NOT NULL
        AND (%(ids)s::bigint[] IS NULL OR n.id = ANY(%(ids)s::bigint[]))
        AND {applies}),
changed AS (
    UPDATE notifications_notification n SET rev = %(head)s + t.nth, {assignments}
    FROM target t WHERE n.id = t.id
    RETURNING n.id, n.rev, t.unread, t.unseen, n.archived_at IS NULL AND n.deleted_at IS NULL AS counted,
        n.read_at IS NULL AS unread_now, n.seen_at IS NULL AS unseen_now)
SELECT id, rev, (counted AND unread_now)::int - unread::int, (counted AND unseen_now)::int - unseen::int
FROM changed ORDER BY rev
"""
