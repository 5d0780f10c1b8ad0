"""The RPCs of DunningService."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in, timestamp_in
from services.payments.convert.dunning import campaign_out, policy_in, policy_out, step_out
from services.payments.domain.dunning import Policy, plan
from services.payments.store import dunning
from weir.payments.v1 import dunning_pb2 as pb
from weir.payments.v1.dunning_pb2_grpc import DunningServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class DunningServicer(DunningServiceServicer):
    pool: Pool
    clock: Clock

    async def SetDunningPolicy(
        self, request: pb.SetDunningPolicyRequest, context: Context
    ) -> pb.SetDunningPolicyResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        policy = policy_in(request.dunning_policy, request.HasField("dunning_policy"))
        async with self.pool.acquire() as conn, conn.transaction():
            latest = await dunning.lock_policy_request(conn, tenant_id, policy.segment)
            if latest is not None and latest[0] == request_id:
                require_same(latest[1], request_hash, request.request_id)
            else:
                await dunning.save_policy(conn, tenant_id, policy, self.clock(), request_id, request_hash)
        return pb.SetDunningPolicyResponse(dunning_policy=policy_out(policy))

    async def GetDunningPolicy(
        self, request: pb.GetDunningPolicyRequest, context: Context
    ) -> pb.GetDunningPolicyResponse:
        return pb.GetDunningPolicyResponse(dunning_policy=policy_out(await self._policy(request.segment)))

    async def ListDunningPolicies(
        self, request: pb.ListDunningPoliciesRequest, context: Context
    ) -> pb.ListDunningPoliciesResponse:
        page = page_in(request.page_size, request.page_token)
        async with self.pool.acquire() as conn:
            rows = await dunning.list_policies(conn, caller().tenant_id, page)
        shown, token = page.cut(rows, lambda policy: policy.segment)
        return pb.ListDunningPoliciesResponse(dunning_policies=map(policy_out, shown), next_page_token=token)

    async def PreviewDunning(self, request: pb.PreviewDunningRequest, context: Context) -> pb.PreviewDunningResponse:
        given = request.HasField("dunning_policy")
        policy = policy_in(request.dunning_policy, given) if given else await self._policy(request.segment)
        has_start = request.HasField("start_time")
        start = timestamp_in(request.start_time, has_start, "start_time") if has_start else self.clock()
        return pb.PreviewDunningResponse(steps=map(step_out, plan(policy, start)))

    async def GetDunningCampaign(
        self, request: pb.GetDunningCampaignRequest, context: Context
    ) -> pb.GetDunningCampaignResponse:
        tenant_id, campaign_id = caller().tenant_id, text_in(request.id, "id")
        async with self.pool.acquire() as conn:
            campaign = await dunning.find(conn, tenant_id, campaign_id)
            steps = list(await dunning.steps_of(conn, tenant_id, campaign_id))
        if campaign is None:
            raise NotFound(
                "DUNNING_CAMPAIGN_NOT_FOUND", f"there is no campaign {campaign_id}", dunning_campaign_id=campaign_id
            )
        return pb.GetDunningCampaignResponse(dunning_campaign=campaign_out(campaign, steps))

    async def ListDunningCampaigns(
        self, request: pb.ListDunningCampaignsRequest, context: Context
    ) -> pb.ListDunningCampaignsResponse:
        page = page_in(request.page_size, request.page_token)
        invoice_id = text_in(request.invoice_id, "invoice_id", required=False)
        async with self.pool.acquire() as conn:
            rows = await dunning.list_page(conn, caller().tenant_id, page, invoice_id)
        shown, token = page.cut(rows, lambda campaign: campaign.id)
        return pb.ListDunningCampaignsResponse(dunning_campaigns=map(campaign_out, shown), next_page_token=token)

    async def _policy(self, segment: str) -> Policy:
        segment = text_in(segment, "segment", required=False)
        async with self.pool.acquire() as conn:
            policy = await dunning.find_policy(conn, caller().tenant_id, segment)
        if policy is None:
            raise NotFound("DUNNING_POLICY_NOT_FOUND", "the tenant has no dunning policy")
        return policy
