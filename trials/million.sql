-- A year of :jobs jobs. Every hundredth of them has an account, the first of which asked for a tenth of all; ids are
-- digests of numbers, so that rows name each other without being looked up.
SELECT setseed(0.5);

CREATE TEMP TABLE spread ON COMMIT DROP AS
SELECT drawn.*,
    md5('job' || g)::uuid AS job, md5('asset' || g)::uuid AS asset, md5('hold' || g)::uuid AS hold,
    md5('account' || account)::uuid AS owner, md5('key' || account)::uuid AS api_key,
    md5('project' || account || '-' || CASE WHEN account > 1 THEN g % 3 WHEN luck < 0.5 THEN 0 ELSE g / 10 % 300 END)::uuid
        AS project,
    CASE
        WHEN g <= 20 THEN 'processing' WHEN g <= 400 THEN 'queued' WHEN g <= 600 THEN 'created'
        WHEN luck < 0.88 THEN 'completed' WHEN luck < 0.96 THEN 'failed' ELSE 'canceled'
    END AS status,
    (ARRAY['original', 'light', 'human', 'pro'])[1 + floor(taste * 4)::int] AS model,
    (ARRAY['webm', 'mov', 'gif', 'webp', 'png_sequence', 'stacked_mp4'])[1 + floor(taste * 24)::int % 6] AS format,
    45 + floor(taste * 4)::int * 30 AS price,
    at > now() - interval '7 days' AS is_kept
FROM (
    SELECT g, now() - interval '365 days' * g / :jobs AS at, random() AS luck, random() AS taste,
        CASE WHEN g % 10 = 0 THEN 1 ELSE 2 + floor(power(random(), 2) * (:jobs / 100 - 1))::int END AS account
    FROM generate_series(1, :jobs) AS g
) AS drawn;
ANALYZE spread;

CREATE TEMP TABLE people ON COMMIT DROP AS
SELECT n, md5('account' || n)::uuid AS id, 'account-' || n || '@example.org' AS email,
    now() - interval '400 days' + interval '300 days' * n / (:jobs / 100) AS at
FROM generate_series(1, :jobs / 100) AS n;

INSERT INTO accounts_user (id, password, is_superuser, email, name, is_active, is_staff, date_joined,
    mails_finished_jobs, mails_low_credits)
SELECT id, '!', false, email, 'Account ' || n, true, n % 1000 = 999, at, false, true FROM people;

INSERT INTO account_emailaddress (user_id, email, verified, "primary") SELECT id, email, true, true FROM people;

INSERT INTO accounts_apikey (id, user_id, name, prefix, digest, scopes, created_at, last_used_at)
SELECT md5('key' || n)::uuid, id, 'shop', 'cm_' || substr(md5('key' || n), 1, 7), md5('digest' || n) || md5('key' || n),
    '["jobs:read"]', at, now()
FROM people;

INSERT INTO projects_project (id, owner_id, name, external_id, is_default, defaults, created_at)
SELECT md5('project' || n || '-' || number)::uuid, id, CASE number WHEN 0 THEN 'Default' ELSE 'Film ' || n || '-' || number END,
    CASE number WHEN 0 THEN NULL ELSE 'shop-' || n || '-' || number END, number = 0, '{}', at
FROM people, generate_series(0, CASE n WHEN 1 THEN 299 ELSE 2 END) AS number;

INSERT INTO webhooks_endpoint (id, user_id, url, description, events, disabled_because, created_at)
SELECT md5('endpoint' || n)::uuid, id, 'https://hooks.example.org/' || n, '', '["*"]', '', at FROM people;

INSERT INTO webhooks_signingsecret (user_id, endpoint_id, secret, previous_secret, created_at)
SELECT id, md5('endpoint' || n)::uuid, 'whsec_' || n, '', at FROM people;

INSERT INTO credits_purchase (id, user_id, pack, credits, amount, currency, pricing_version, session_id, session_url,
    payment_intent, charge, invoice, status, problem, disputed, start_problem, read_number, applied_number, created_at, updated_at)
SELECT md5('purchase' || n || '-' || number)::uuid, id, 'pack', 1000000, 900, 'usd', 1, 'cs_' || n || '-' || number, '',
    'pi_' || n || '-' || number, 'ch_' || n || '-' || number, '', 'paid', '', 0, '', 1, 1, at, at
FROM people, generate_series(1, CASE n WHEN 1 THEN 200 ELSE 2 END) AS number;

INSERT INTO credits_stripeevent (id, type, payload, subject, payment_intent, received_at, processed_at, error)
SELECT 'evt_' || substr(session_id, 4), 'checkout.session.completed', jsonb_build_object('padding', repeat(md5(session_id), 30)),
    session_id, payment_intent, created_at, created_at, ''
FROM credits_purchase;

INSERT INTO credits_ledgerentry (wallet_id, kind, amount, balance_after, key, reference, note, staff_name, created_at)
SELECT n, 'grant', 2000, 2000, 'grant:' || n, '', '', '', at FROM people
UNION ALL
SELECT n, 'purchase', 1000000, 1000000, 'purchase:' || purchase.id, purchase.id::text, '', '', at
FROM people JOIN credits_purchase AS purchase ON purchase.user_id = people.id;

INSERT INTO projects_asset (id, owner_id, project_id, kind, status, file, filename, source_url, size, sha256, facts,
    error_code, error, created_at, expires_at)
SELECT asset, owner, project, 'video', CASE WHEN at > now() - interval '1 day' THEN 'ready' ELSE 'deleted' END,
    CASE WHEN at > now() - interval '1 day' THEN 'assets/' || asset || '/source' ELSE '' END,
    'clip-' || g || '.mp4', '', 4000000 + g, md5('sha' || g) || md5('256' || g), :facts, '', '', at, at + interval '1 day'
FROM spread;

INSERT INTO credits_hold (id, wallet_id, amount, captured, state, key, reference, created_at, settled_at)
SELECT hold, account, price, CASE status WHEN 'completed' THEN price ELSE 0 END,
    CASE status WHEN 'completed' THEN 'captured' WHEN 'failed' THEN 'released' WHEN 'canceled' THEN 'released' ELSE 'open' END,
    'job:' || job, job::text, at, CASE WHEN status IN ('completed', 'failed', 'canceled') THEN at + interval '1 minute' END
FROM spread WHERE status <> 'created';

INSERT INTO credits_ledgerentry (wallet_id, kind, amount, balance_after, key, reference, note, staff_name, created_at)
SELECT account, 'capture', -price, 100000, 'capture:' || hold, job::text, '', '', at FROM spread WHERE status = 'completed'
UNION ALL
SELECT account, 'return', price, 100000, 'return:' || hold, job::text, 'Not as asked.', 'sue@example.org', at
FROM spread WHERE status = 'completed' AND luck < 0.01;

INSERT INTO credits_wallet (id, user_id, balance, held, low_threshold, stripe_customer)
SELECT n, id, balance, coalesce(held, 0), 1000, 'cus_' || n FROM people
JOIN (SELECT wallet_id, sum(amount) AS balance FROM credits_ledgerentry GROUP BY wallet_id) AS lines ON lines.wallet_id = n
LEFT JOIN (SELECT wallet_id, sum(amount) AS held FROM credits_hold WHERE state = 'open' GROUP BY wallet_id) AS open
    ON open.wallet_id = n;

INSERT INTO jobs_job (id, owner_id, project_id, asset_id, hold_id, api_key_id, video_url, model, output_format, options,
    requested, metadata, webhook_url, request_id, client_address, client_agent, status, stage, progress, frames_done,
    frames_total, attempt, worker, estimated, charged, held_seconds, pricing_version, model_version, device, result,
    quality, warnings, error_code, error, created_at, queued_at, started_at, completed_at, expires_at)
SELECT job, owner, project, asset, CASE status WHEN 'created' THEN NULL ELSE hold END, api_key,
    'https://media.example.org/' || g || '.mp4', model, format, :options, jsonb_build_object('model', model),
    jsonb_build_object('order', 'A-' || g), '', 'req_' || md5('request' || g), '192.0.2.7', 'shop/1.0', status,
    CASE status WHEN 'queued' THEN 'waiting' WHEN 'processing' THEN 'processing' ELSE '' END,
    CASE status WHEN 'completed' THEN 100 ELSE 0 END, 250, 250, 1, 'host-' || g % 20 || ':1', price, 
    CASE status WHEN 'completed' THEN price ELSE 0 END, 10, 1, 'modnet 1 int8', 'cpu', 
    jsonb_build_object('seconds', 60, 'cpu_seconds', 110, 'log_tail', left(sample.text, 300)),
    CASE status WHEN 'completed' THEN jsonb_set(:quality, '{padding}', to_jsonb(left(sample.text, 300))) END, '[]',
    CASE status WHEN 'failed' THEN (ARRAY['timeout', 'unsupported_media', 'worker_lost'])[1 + g % 3] ELSE '' END, '',
    at, at, at + interval '5 seconds',
    CASE WHEN status IN ('completed', 'failed', 'canceled') THEN at + interval '1 minute' END,
    CASE status WHEN 'completed' THEN at + interval '7 days' END
FROM spread JOIN sample ON sample.n = g % 64;

INSERT INTO jobs_output (id, job_id, attempt, kind, format, file, size, sha256, facts, created_at, deleted_at)
SELECT md5(kind || g)::uuid, job, 1, kind, format,
    CASE WHEN is_kept THEN 'jobs/' || job || '/1/' || kind ELSE '' END, 3000000 + g, md5(kind || g) || md5('256' || g),
    :output_facts, at + interval '1 minute', CASE WHEN NOT is_kept THEN at + interval '7 days' END
FROM spread, unnest(ARRAY['result', 'preview', 'poster']) AS kind WHERE status = 'completed';

INSERT INTO projects_deletion (rule, detail, kind, name, size, sha256, job_id, asset_id, project_id, request_id, created_at)
SELECT 'expired', 'results: 7 days', kind, 'jobs/' || job || '/1/' || kind, 3000000 + g, md5(kind || g) || md5('256' || g),
    job, NULL, project, '', at + interval '7 days'
FROM spread, unnest(ARRAY['result']) AS kind WHERE status = 'completed' AND NOT is_kept
UNION ALL
SELECT 'expired', 'sources: 24 hours', 'video', 'assets/' || asset || '/source', 4000000 + g, md5('sha' || g) || md5('256' || g),
    NULL, asset, project, '', at + interval '1 day'
FROM spread WHERE at < now() - interval '1 day';

INSERT INTO jobs_jobevent (job_id, name, attempt, detail, created_at)
SELECT job, name, 1, '{}', at + interval '1 second' * place
FROM spread, unnest(ARRAY['created', 'queued', 'started', 'completed']) WITH ORDINALITY AS told (name, place)
WHERE place <= CASE status WHEN 'created' THEN 1 WHEN 'queued' THEN 2 WHEN 'processing' THEN 3 ELSE 4 END;

INSERT INTO jobs_attempt (job_id, lease, number, task, worker, stages, exit, outcome, log, started_at, ended_at,
    is_cleared)
SELECT job, md5(task || g)::uuid, 1, task, 'host-' || g % 20 || ':1', '[]', 'engine: exit 0',
    CASE task WHEN 'fetch' THEN 'fetched' ELSE status END, '', at,
    CASE WHEN status <> 'processing' OR task = 'fetch' THEN at + interval '1 minute' END, status <> 'processing'
FROM spread, unnest(ARRAY['fetch', 'work']) AS task WHERE status NOT IN ('created', 'queued');

INSERT INTO jobs_metadataword (job_id, text) SELECT job, 'A-' || g FROM spread;

INSERT INTO webhooks_delivery (id, user_id, endpoint_id, event, url, host, body, subject, request_id, state, attempts,
    last_attempt, next_attempt_at, note, created_at, finished_at)
SELECT md5(event || g)::uuid, owner, md5('endpoint' || account)::uuid, event, 'https://hooks.example.org/' || account,
    'hooks.example.org', jsonb_build_object('data', left(sample.text, 600))::text, job, 'req_' || md5('request' || g),
    CASE WHEN g < 2000 AND g % 20 = 0 THEN 'pending' WHEN luck < 0.02 THEN 'failed' ELSE 'sent' END, 1, 10,
    CASE WHEN g < 2000 AND g % 20 = 0 THEN now() + interval '1 hour' END, '', at,
    CASE WHEN g < 2000 AND g % 20 = 0 THEN NULL ELSE at + interval '1 minute' END
FROM spread JOIN sample ON sample.n = g % 64, unnest(ARRAY['job.completed', 'job.started']) AS event
WHERE status = 'completed' AND (event = 'job.completed' OR account = 1);

INSERT INTO webhooks_attempt (delivery_id, number, status_code, error, response_excerpt, duration_ms, created_at)
SELECT md5(event || g)::uuid, 1, 200, '', 'ok', 90, at
FROM spread, unnest(ARRAY['job.completed', 'job.started']) AS event
WHERE status = 'completed' AND (event = 'job.completed' OR account = 1);

INSERT INTO accounts_mail (id, user_id, kind, context, key, attempts, created_at, sent_at)
SELECT md5('mail' || g)::uuid, owner, 'job_finished', '{}', 'job:' || job, 1, at, at FROM spread
WHERE g % 5 = 0 AND status = 'completed' AND at > now() - interval '30 days';

INSERT INTO accounts_act (id, action, what, subject, account, staff_name, reason, before, after, created_at)
SELECT md5('act' || g)::uuid, 'refund', 'jobs.job', job::text, owner, 'sue@example.org', 'Not as asked.', '{}', '{"balance": 1}', at
FROM spread WHERE status = 'completed' AND luck < 0.01;

INSERT INTO projects_upload (id, owner_id, project_ref, kind, filename, size, sha256, part_size, store_id, status, error_code,
    error, created_at, expires_at)
SELECT asset, owner, '', 'video', 'clip.mp4', 4000000, '', 0, '', 'completed', '', '', at, at + interval '1 day'
FROM spread WHERE g % 100 = 0;

INSERT INTO accounts_datarequest (id, user_id, kind, mark, created_at, done_at)
SELECT md5('export' || n)::uuid, id, 'export', '', at, at FROM people WHERE n % 10 = 0;

INSERT INTO api_idempotencyrecord (user_id, key, fingerprint, state, lease, lease_until, status, body, created_at)
SELECT owner, 'order-' || g, md5('one' || g) || md5('two' || g), 'answered', job, at, 201, '{}', at
FROM spread WHERE at > now() - interval '1 day';

INSERT INTO credits_auditrun (started_at, wallets, drifts)
SELECT now() - interval '10 minutes' * n, :jobs / 100, '[]' FROM generate_series(1, :jobs / 20) AS n;

SELECT setval(pg_get_serial_sequence('credits_wallet', 'id'), (SELECT max(id) FROM credits_wallet))
