"""What the records must have no answer to: SQL of its own, so that it shares no mistake with the product."""

from __future__ import annotations

OF_JOB, OF_PURCHASE = (f"replace(l.reference, '-', '') = replace(CAST({row}.id AS text), '-', '')" for row in "jp")
"""Ids as text differ between databases in their dashes."""

QUESTIONS = {
    "a job is not final": "SELECT id, status, stage FROM jobs_job WHERE status IN ('queued', 'processing')",
    "an ended job is still held by a worker": """
        SELECT id, lease FROM jobs_job WHERE status IN ('completed', 'failed', 'canceled') AND lease IS NOT NULL""",
    "a job ended more or less than once": """
        SELECT j.id, count(e.id) FROM jobs_job j
        LEFT JOIN jobs_jobevent e ON e.job_id = j.id AND e.name IN ('completed', 'failed', 'canceled')
        WHERE j.status IN ('completed', 'failed', 'canceled') GROUP BY j.id HAVING count(e.id) <> 1""",
    "a completed job was not captured once, or for another price": f"""
        SELECT j.id, j.charged, h.state, h.captured, count(l.id), sum(l.amount) FROM jobs_job j
        LEFT JOIN credits_hold h ON h.id = j.hold_id
        LEFT JOIN credits_ledgerentry l ON {OF_JOB} AND l.kind = 'capture'
        WHERE j.status = 'completed' GROUP BY j.id, h.id
        HAVING count(l.id) <> 1 OR -sum(l.amount) <> j.charged OR h.id IS NULL OR h.state <> 'captured'
        OR h.captured <> j.charged""",
    "a job that was not completed was charged, or keeps its hold": f"""
        SELECT j.id, j.status, j.charged, h.state FROM jobs_job j LEFT JOIN credits_hold h ON h.id = j.hold_id
        WHERE j.status IN ('failed', 'canceled', 'created') AND (j.charged <> 0 OR h.state <> 'released' OR EXISTS (
            SELECT 1 FROM credits_ledgerentry l WHERE {OF_JOB} AND l.kind = 'capture'))""",
    "a hold belongs to no job": """
        SELECT h.id, h.state FROM credits_hold h WHERE NOT EXISTS (SELECT 1 FROM jobs_job j WHERE j.hold_id = h.id)""",
    "a completed job has not one result, or files of several attempts": """
        SELECT j.id, count(o.id) FILTER (WHERE o.kind = 'result'), count(DISTINCT o.attempt) FROM jobs_job j
        LEFT JOIN jobs_output o ON o.job_id = j.id WHERE j.status = 'completed' GROUP BY j.id
        HAVING count(o.id) FILTER (WHERE o.kind = 'result') <> 1 OR count(DISTINCT o.attempt) <> 1""",
    "a job that was not completed has files": """
        SELECT j.id, j.status FROM jobs_job j JOIN jobs_output o ON o.job_id = j.id WHERE j.status <> 'completed'""",
    "a job failed by a fault of ours": """
        SELECT id, error_code, error FROM jobs_job WHERE status = 'failed'
        AND error_code NOT IN ('worker_lost', 'out_of_memory', 'timeout', 'fetch_failed', 'insufficient_credits')""",
    "an attempt never ended": "SELECT job_id, number, worker FROM jobs_attempt WHERE ended_at IS NULL",
    "a balance is not the sum of its lines": """
        SELECT w.id, w.balance, coalesce(sum(l.amount), 0) FROM credits_wallet w
        LEFT JOIN credits_ledgerentry l ON l.wallet_id = w.id GROUP BY w.id
        HAVING w.balance <> coalesce(sum(l.amount), 0)""",
    "credits are still held": "SELECT id, held FROM credits_wallet WHERE held <> 0",
    "an account went below zero": "SELECT id, balance FROM credits_wallet WHERE balance < 0",
    "an event was not told once": """
        SELECT j.id, j.status, count(d.id) FROM jobs_job j
        LEFT JOIN webhooks_delivery d ON d.subject = j.id AND d.event = 'job.' || j.status
        WHERE j.status IN ('completed', 'failed', 'canceled') AND j.webhook_url <> ''
        GROUP BY j.id HAVING count(d.id) <> 1""",
    "an event was not delivered": "SELECT id, event, state FROM webhooks_delivery WHERE state <> 'sent'",
    # Without its lease it is free for the client to ask again.
    "a request is answered for ever": """
        SELECT id, lease_until FROM api_idempotencyrecord
        WHERE state = 'running' AND lease_until > CURRENT_TIMESTAMP""",
    "an upload is being completed for ever": """
        SELECT id, status FROM projects_upload WHERE status IN ('completing', 'going')""",
    "a source that is still waited for": """
        SELECT a.id FROM projects_asset a WHERE a.status = 'pending' AND (a.expires_at IS NULL OR EXISTS (
            SELECT 1 FROM jobs_job j WHERE j.asset_id = a.id AND j.status IN ('queued', 'processing')))""",
}
"""Complaint → question."""

PURCHASES = f"""
    SELECT p.session_id, p.status, p.credits, count(l.id), coalesce(sum(l.amount), 0) FROM credits_purchase p
    LEFT JOIN credits_ledgerentry l ON {OF_PURCHASE} GROUP BY p.id"""
FILES = """
    SELECT file FROM jobs_output WHERE file <> '' UNION SELECT file FROM projects_asset WHERE file <> ''"""
UPLOADS = "SELECT id FROM projects_upload WHERE status = 'open'"
