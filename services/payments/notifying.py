"""Notifying: a notice is posted to a tenant's endpoint when its row is due, and again until it is answered with 2xx."""

from dataclasses import dataclass

import httpx
import structlog

from libs.common.clock import Clock
from libs.common.postgres import Pool
from services.payments.domain.notice import Delivery, DeliveryState, headers, retry_delay
from services.payments.store import notices
from services.payments.vault import Vault

log = structlog.get_logger()

TIMEOUT_SECONDS = 15.0
GONE = 410


def client() -> httpx.AsyncClient:
    """It follows no redirects, and no proxy of the environment."""
    return httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False, headers={"user-agent": "weir"})


@dataclass(frozen=True, slots=True)
class Notifying:
    pool: Pool
    vault: Vault
    http: httpx.AsyncClient
    clock: Clock

    async def deliver(self, delivery: Delivery) -> None:
        """Post a claimed notice."""
        endpoint, now = delivery.endpoint, self.clock()
        async with self.pool.acquire() as conn:
            sealed = await notices.find_secrets(conn, endpoint.tenant_id, endpoint.id)
        secrets = [sealed.current]
        if sealed.previous is not None and sealed.previous_until is not None and now < sealed.previous_until:
            secrets.append(sealed.previous)
        signed = headers(delivery.notice, [self.vault.unseal(each)["secret"] for each in secrets], now)
        error, is_gone = await self._post(endpoint.url, delivery.notice.body, signed)
        await self._record(delivery, error, is_gone=is_gone)

    async def _post(self, url: str, body: bytes, signed: dict[str, str]) -> tuple[str, bool]:
        """Why it was in vain ("" when it was not), and whether it always will be. The answer's body is not read."""
        try:
            async with self.http.stream("POST", url, content=body, headers=signed) as answer:
                if answer.is_success:
                    return "", False
                return f"answered with {answer.status_code}", answer.status_code == GONE
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"{type(error).__name__}: {error}".strip(": "), False

    async def _record(self, delivery: Delivery, error: str, *, is_gone: bool) -> None:
        now = self.clock()
        state, wait = DeliveryState.DELIVERED, None
        if error:
            wait = None if is_gone else retry_delay(delivery.tries)
            state = DeliveryState.FAILED if wait is None else DeliveryState.WAITING
            log.warning(
                "notice not delivered",
                tenant=delivery.endpoint.tenant_id,
                endpoint=delivery.endpoint.id,
                notice=delivery.notice.id,
                state=state,
                cause=error,
            )
        async with self.pool.acquire() as conn:
            await notices.move(conn, delivery, state, error, now, None if wait is None else now + wait)
