"""dunning_policy, dunning_campaign and dunning_step."""

# ruff: noqa: S608 what is interpolated is the list of columns below

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments.domain.dunning import (
    Campaign,
    CampaignState,
    FinalAction,
    Policy,
    Reminder,
    Step,
    StepKind,
    StepState,
)
from services.payments.domain.payment import Payment
from services.payments.store import notices

_CAMPAIGN = (
    "c.tenant_id, c.id, c.payment_id, c.state, c.final_action, c.start_time, c.end_time, c.revision, c.final_plan_code"
)
_SELECT = f"""
    SELECT {_CAMPAIGN}, p.invoice_id FROM dunning_campaign c
    JOIN payment p ON p.tenant_id = c.tenant_id AND p.id = c.payment_id
"""
_POLICY = "time_zone, hour, paydays, retry_days, reminders, final_day, final_action, final_plan_code, segment"


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """A campaign whose end invoicing has not heard of; `tries` counts how often it was told in vain."""

    campaign: Campaign
    tries: int


def _campaign(row: asyncpg.Record) -> Campaign:
    fields = {name: value for name, value in row.items() if name in Campaign.__slots__}
    return Campaign(**fields | {"state": CampaignState(row["state"]), "final_action": FinalAction(row["final_action"])})


def _step(row: asyncpg.Record) -> Step:
    return Step(**{**row, "kind": StepKind(row["kind"]), "state": StepState(row["state"])})


async def save_policy(
    conn: Conn, tenant_id: str, policy: Policy, now: datetime, request_id: UUID, request_hash: bytes
) -> None:
    await conn.execute(
        """
        INSERT INTO dunning_policy (tenant_id, time_zone, hour, paydays, retry_days, reminders, final_day, final_action,
                                    update_time, request_id, request_hash, segment, final_plan_code)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT (tenant_id, segment) DO UPDATE SET
            time_zone = $2, hour = $3, paydays = $4, retry_days = $5, reminders = $6, final_day = $7, final_action = $8,
            update_time = $9, request_id = $10, request_hash = $11, final_plan_code = $13
        """,
        tenant_id, policy.time_zone.key, policy.hour, policy.paydays, policy.retry_days,
        json.dumps([{"day": each.day, "subject": each.subject, "body": each.body} for each in policy.reminders]),
        policy.final_day, policy.final_action, now, request_id, request_hash, policy.segment, policy.final_plan_code,
    )  # fmt: skip


async def find_policy(conn: Conn, tenant_id: str, segment: str = "") -> Policy | None:
    """That of the segment, or the one for those that have none."""
    row = await conn.fetchrow(
        f"""
        SELECT {_POLICY} FROM dunning_policy WHERE tenant_id = $1 AND segment IN ($2, '')
        ORDER BY segment DESC LIMIT 1
        """,
        tenant_id, segment,
    )  # fmt: skip
    return None if row is None else _policy(row)


async def list_policies(conn: Conn, tenant_id: str, page: Page) -> Sequence[Policy]:
    """Up to one more than the page, by segment."""
    rows = await conn.fetch(
        f"""
        SELECT {_POLICY} FROM dunning_policy
        WHERE tenant_id = $1 AND ($2::text IS NULL OR segment > $2) ORDER BY segment LIMIT $3
        """,
        tenant_id, page.after, page.size + 1,
    )  # fmt: skip
    return [_policy(row) for row in rows]


def _policy(row: asyncpg.Record) -> Policy:
    return Policy(
        time_zone=ZoneInfo(row["time_zone"]),
        hour=row["hour"],
        paydays=tuple(row["paydays"]),
        retry_days=tuple(row["retry_days"]),
        reminders=tuple(Reminder(**each) for each in json.loads(row["reminders"])),
        final_day=row["final_day"],
        final_action=FinalAction(row["final_action"]),
        final_plan_code=row["final_plan_code"],
        segment=row["segment"],
    )


async def lock_policy_request(conn: Conn, tenant_id: str, segment: str) -> tuple[UUID, bytes] | None:
    """The latest request that set the segment's policy, and its hash."""
    row = await conn.fetchrow(
        "SELECT request_id, request_hash FROM dunning_policy WHERE tenant_id = $1 AND segment = $2 FOR UPDATE",
        tenant_id,
        segment,
    )
    return None if row is None else (row["request_id"], row["request_hash"])


async def to_begin(conn: Conn, limit: int) -> Sequence[tuple[str, str]]:
    """Tenant and id of payments that failed where there is a policy for them, and have no campaign."""
    rows = await conn.fetch(
        """
        SELECT p.tenant_id, p.id FROM (SELECT DISTINCT tenant_id FROM dunning_policy) t
        CROSS JOIN LATERAL (
            SELECT tenant_id, id FROM payment p
            WHERE tenant_id = t.tenant_id AND campaign_id IS NULL
              AND state IN ('FAILED', 'REQUIRES_ACTION', 'AWAITING_METHOD')
              AND EXISTS (
                  SELECT FROM dunning_policy d WHERE d.tenant_id = p.tenant_id AND d.segment IN (p.segment, '')
              )
            LIMIT $1
        ) p
        LIMIT $1
        """,
        limit,
    )
    return [(row["tenant_id"], row["id"]) for row in rows]


async def insert(conn: Conn, campaign: Campaign, steps: Sequence[Step]) -> bool:
    """Of a locked payment; False when it has one."""
    taken = await conn.fetchval(
        """
        UPDATE payment SET campaign_id = $3
        WHERE tenant_id = $1 AND id = $2 AND campaign_id IS NULL RETURNING true
        """,
        campaign.tenant_id, campaign.payment_id, campaign.id,
    )  # fmt: skip
    if not taken:
        return False
    await conn.execute(
        """
        INSERT INTO dunning_campaign (tenant_id, id, payment_id, state, final_action, start_time, due_time,
                                      report_due_time, final_plan_code)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $6, $8)
        """,
        campaign.tenant_id, campaign.id, campaign.payment_id, campaign.state, campaign.final_action,
        campaign.start_time, steps[0].due_time, campaign.final_plan_code,
    )  # fmt: skip
    await conn.executemany(
        """
        INSERT INTO dunning_step (tenant_id, campaign_id, position, kind, due_time, subject, body, state, note)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        [
            (campaign.tenant_id, campaign.id, step.position, step.kind, step.due_time, step.subject, step.body,
             step.state, step.note)
            for step in steps
        ],
    )  # fmt: skip
    return True


async def claim(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[Campaign]:
    """Campaigns with a step to be done; nobody else gets them before the lease ends."""
    rows = await conn.fetch(
        f"""
        UPDATE dunning_campaign c SET due_time = $1 + $2::interval
        FROM (
            SELECT c.tenant_id, c.id, p.invoice_id FROM dunning_campaign c
            JOIN payment p ON p.tenant_id = c.tenant_id AND p.id = c.payment_id
            WHERE c.state = 'ACTIVE' AND c.due_time <= $1
            ORDER BY c.due_time LIMIT $3 FOR UPDATE OF c SKIP LOCKED
        ) p
        WHERE p.tenant_id = c.tenant_id AND p.id = c.id
        RETURNING {_CAMPAIGN}, p.invoice_id
        """,
        now, lease, limit,
    )  # fmt: skip
    return [_campaign(row) for row in rows]


async def lock(conn: Conn, tenant_id: str, campaign_id: str) -> Campaign | None:
    """The campaign, for this transaction alone to change; its payment is locked before it."""
    row = await conn.fetchrow(f"{_SELECT} WHERE c.tenant_id = $1 AND c.id = $2 FOR UPDATE OF c", tenant_id, campaign_id)
    return None if row is None else _campaign(row)


async def find(conn: Conn, tenant_id: str, campaign_id: str) -> Campaign | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE c.tenant_id = $1 AND c.id = $2", tenant_id, campaign_id)
    return None if row is None else _campaign(row)


async def list_page(conn: Conn, tenant_id: str, page: Page, invoice_id: str) -> Sequence[Campaign]:
    """Up to one more than the page, newest first; of one invoice unless that is empty."""
    rows = await conn.fetch(
        f"""
        {_SELECT}
        WHERE c.tenant_id = $1 AND ($2::text IS NULL OR c.id < $2) AND ($3 = '' OR p.invoice_id = $3)
        ORDER BY c.id DESC LIMIT $4
        """,
        tenant_id, page.after, invoice_id, page.size + 1,
    )  # fmt: skip
    return [_campaign(row) for row in rows]


async def steps_of(conn: Conn, tenant_id: str, campaign_id: str) -> Sequence[Step]:
    """In their order."""
    rows = await conn.fetch(
        """
        SELECT position, kind, due_time, subject, body, state, note FROM dunning_step
        WHERE tenant_id = $1 AND campaign_id = $2 ORDER BY position
        """,
        tenant_id, campaign_id,
    )  # fmt: skip
    return [_step(row) for row in rows]


async def tell(conn: Conn, campaign: Campaign, kind: str, now: datetime) -> None:
    """The tenant's endpoints of what has happened."""
    body = {
        "campaign_id": campaign.id,
        "invoice_id": campaign.invoice_id,
        "final_action": campaign.final_action,
    }
    await notices.insert(conn, campaign.tenant_id, kind, campaign.payment_id, body, now)


async def conclude_step(conn: Conn, campaign: Campaign, step: Step) -> None:
    await conn.execute(
        """
        UPDATE dunning_step SET state = $4, note = $5
        WHERE tenant_id = $1 AND campaign_id = $2 AND position = $3 AND state = 'WAITING'
        """,
        campaign.tenant_id, campaign.id, step.position, step.state, step.note,
    )  # fmt: skip


async def set_due_time(conn: Conn, campaign: Campaign, due_time: datetime) -> None:
    await conn.execute(
        "UPDATE dunning_campaign SET due_time = $3 WHERE tenant_id = $1 AND id = $2 AND state = 'ACTIVE'",
        campaign.tenant_id, campaign.id, due_time,
    )  # fmt: skip


async def exhaust(conn: Conn, campaign: Campaign, now: datetime) -> None:
    """The last step is done; invoicing is to hear of its action."""
    await conn.execute(
        """
        UPDATE dunning_campaign SET state = 'EXHAUSTED', end_time = $3, due_time = NULL, report_due_time = $3,
               revision = CASE final_action WHEN 'NONE' THEN revision ELSE revision + 1 END
        WHERE tenant_id = $1 AND id = $2 AND state = 'ACTIVE'
        """,
        campaign.tenant_id, campaign.id, now,
    )  # fmt: skip


async def end(conn: Conn, payment: Payment, state: CampaignState, now: datetime) -> str | None:
    """The id of the locked payment's campaign that was active: what it had not done is not done any more."""
    campaign_id: str | None = await conn.fetchval(
        """
        UPDATE dunning_campaign SET state = $3, end_time = $4, due_time = NULL
        WHERE tenant_id = $1 AND payment_id = $2 AND state = 'ACTIVE' RETURNING id
        """,
        payment.tenant_id, payment.id, state, now,
    )  # fmt: skip
    if campaign_id is None:
        return None
    await conn.execute(
        """
        UPDATE dunning_step SET state = 'SKIPPED', note = $3
        WHERE tenant_id = $1 AND campaign_id = $2 AND state = 'WAITING'
        """,
        payment.tenant_id, campaign_id, state.lower(),
    )  # fmt: skip
    if (ended := await find(conn, payment.tenant_id, campaign_id)) is not None:
        await tell(conn, ended, f"dunning.{state.lower()}", now)
    if state is CampaignState.STOPPED:
        await conn.execute(
            "UPDATE payment SET campaign_id = NULL WHERE tenant_id = $1 AND id = $2", payment.tenant_id, payment.id
        )
    return campaign_id


async def claim_reports(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[CampaignReport]:
    rows = await conn.fetch(
        f"""
        UPDATE dunning_campaign c SET report_due_time = $1 + $2::interval, report_tries = c.report_tries + 1
        FROM (
            SELECT c.tenant_id, c.id, p.invoice_id FROM dunning_campaign c
            JOIN payment p ON p.tenant_id = c.tenant_id AND p.id = c.payment_id
            WHERE c.reported_revision < c.revision AND c.report_due_time <= $1
            ORDER BY c.report_due_time LIMIT $3 FOR UPDATE OF c SKIP LOCKED
        ) p
        WHERE p.tenant_id = c.tenant_id AND p.id = c.id
        RETURNING {_CAMPAIGN}, p.invoice_id, c.report_tries - 1 AS report_tries
        """,
        now, lease, limit,
    )  # fmt: skip
    return [CampaignReport(_campaign(row), row["report_tries"]) for row in rows]


async def mark_reported(conn: Conn, campaign: Campaign) -> None:
    await conn.execute(
        """
        UPDATE dunning_campaign SET reported_revision = greatest(reported_revision, $3), report_tries = 0
        WHERE tenant_id = $1 AND id = $2
        """,
        campaign.tenant_id, campaign.id, campaign.revision,
    )  # fmt: skip


async def postpone_report(conn: Conn, campaign: Campaign, due_time: datetime) -> None:
    await conn.execute(
        "UPDATE dunning_campaign SET report_due_time = $4 WHERE tenant_id = $1 AND id = $2 AND revision = $3",
        campaign.tenant_id, campaign.id, campaign.revision, due_time,
    )  # fmt: skip
