"""The clock and billing runs."""

from datetime import datetime

from libs.common.wire import timestamp_out
from services.invoicing.domain.clock import BillingClock
from services.invoicing.domain.run import BillingRun, Step
from weir.invoicing.v1 import invoicing_pb2


def clock_out(clock: BillingClock, real_now: datetime) -> invoicing_pb2.Clock:
    mode = invoicing_pb2.Clock.MODE_REAL if clock.test_now is None else invoicing_pb2.Clock.MODE_TEST
    return invoicing_pb2.Clock(
        mode=mode, now=timestamp_out(clock.now(real_now)), target_time=timestamp_out(clock.target)
    )


def billing_run_out(run: BillingRun) -> invoicing_pb2.BillingRun:
    running, completed = invoicing_pb2.BillingRun.STATE_RUNNING, invoicing_pb2.BillingRun.STATE_COMPLETED
    return invoicing_pb2.BillingRun(
        id=run.id,
        as_of_time=timestamp_out(run.as_of),
        state=running if run.complete_time is None else completed,
        due_count=run.due_count,
        finalized_count=run.finalized_count,
        failures=[
            invoicing_pb2.BillingFailure(
                subscription_id=failure.subscription_id,
                reason=failure.reason,
                message=failure.message,
                retry_time=timestamp_out(failure.retry_time),
            )
            for failure in run.failures
        ],
        create_time=timestamp_out(run.create_time),
        complete_time=timestamp_out(run.complete_time),
        drained=run.is_drained,
    )


def billing_step_out(step: Step) -> invoicing_pb2.BillingStep:
    return invoicing_pb2.BillingStep(
        step_time=timestamp_out(step.time),
        made_count=step.made_count,
        finalized_count=step.finalized_count,
        failed_count=step.failed_count,
    )
