"""Which plan version a new subscription gets."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import FailedPrecondition, InvalidArgument, NotFound
from libs.common.wire import timestamp_out
from services.pricing.convert.experiments import experiment_in, experiment_out
from services.pricing.domain.experiments import Arm, Experiment, assigned
from services.pricing.store.experiments import EXPERIMENTS
from tests.pricing.conftest import NOW, Client, Dial
from tests.pricing.requests import create_plan, create_version
from tests.pricing.strategies import codes, instants, names
from weir.pricing.v1 import experiments_pb2, pricing_pb2
from weir.pricing.v1.experiments_pb2_grpc import ExperimentServiceStub

if TYPE_CHECKING:
    from weir.pricing.v1.experiments_pb2_grpc import ExperimentServiceAsyncStub

arms = st.lists(
    st.builds(Arm, codes, codes, st.integers(1, 2**31 - 1), st.integers(0, 1_000_000)),
    min_size=1,
    max_size=4,
    unique_by=lambda arm: arm.code,
).filter(lambda arms: any(arm.weight for arm in arms))
experiments = st.builds(
    lambda arms, segments, **fields: Experiment(
        arms=tuple(arms),
        segments=tuple((segment, arms[index % len(arms)].code) for index, segment in enumerate(segments)),
        **fields,
    ),
    arms,
    st.lists(names, max_size=3, unique=True),
    code=codes,
    name=names,
    end_time=st.none() | instants,
    create_time=instants,
)


@given(experiments)
def test_an_experiment_read_from_the_wire_or_the_database_is_the_one_written(experiment: Experiment) -> None:
    assert experiment_in(experiment_out(experiment), experiment.create_time) == experiment
    contents = EXPERIMENTS.contents(experiment)
    assert EXPERIMENTS.read(experiment.code, experiment.create_time, contents) == experiment


def compared(code: str, *weights: int, segments: tuple[tuple[str, str], ...] = ()) -> Experiment:
    made = tuple(Arm(f"arm-{index}", "pro", index + 1, weight) for index, weight in enumerate(weights))
    return Experiment(code, code, made, segments, None, NOW)


@given(experiments, st.text(min_size=1), st.text())
def test_a_customer_gets_the_same_arm_for_ever(experiment: Experiment, customer_id: str, segment: str) -> None:
    arm = assigned(experiment, customer_id, segment)
    assert arm == assigned(experiment, customer_id, segment)
    assert arm.weight or segment in dict(experiment.segments)


def test_an_assignment_is_the_same_in_every_release() -> None:
    """Who has got a price keeps it when the software is upgraded."""
    experiment = compared("spring", 50, 30, 20)
    found = [assigned(experiment, f"customer-{n}", "").code for n in range(8)]
    assert found == ["arm-0", "arm-0", "arm-0", "arm-0", "arm-2", "arm-0", "arm-0", "arm-0"]


@pytest.mark.parametrize("weights", [(50, 50), (90, 10), (1, 1, 1), (0, 1), (500_000, 300_000, 200_000)])
def test_customers_are_spread_as_the_weights_say(weights: tuple[int, ...]) -> None:
    """Each share of 20,000 customers is within five standard deviations, at most 0.018."""
    experiment = compared("spring", *weights)
    found = Counter(assigned(experiment, f"customer-{n}", "").code for n in range(20_000))
    for index, weight in enumerate(weights):
        assert found[f"arm-{index}"] / 20_000 == pytest.approx(weight / sum(weights), abs=0.018)


def test_experiments_assign_independently_of_each_other() -> None:
    one, other = compared("spring", 1, 1), compared("summer", 1, 1)
    pairs = Counter(
        (assigned(one, customer, "").code, assigned(other, customer, "").code)
        for customer in (f"customer-{n}" for n in range(20_000))
    )
    assert all(count / 20_000 == pytest.approx(0.25, abs=0.016) for count in pairs.values())
    assert len(pairs) == 4


def test_a_segment_gets_its_arm_whatever_the_weights() -> None:
    experiment = compared("spring", 1, 0, segments=(("enterprise", "arm-1"),))
    assert {assigned(experiment, f"customer-{n}", "enterprise").code for n in range(100)} == {"arm-1"}
    assert {assigned(experiment, f"customer-{n}", "other").code for n in range(100)} == {"arm-0"}


@pytest.fixture
def service(dial: Dial) -> "ExperimentServiceAsyncStub":
    return ExperimentServiceStub(dial("acme"))


def create() -> experiments_pb2.CreateExperimentRequest:
    experiment = experiments_pb2.Experiment(
        code="spring",
        name="Spring prices",
        arms=[
            experiments_pb2.ExperimentArm(code="old", plan_code="llm-api", version=1, weight=1),
            experiments_pb2.ExperimentArm(code="new", plan_code="llm-api", version=2, weight=1),
        ],
        segments=[experiments_pb2.ExperimentSegment(segment="enterprise", arm_code="new")],
    )
    return experiments_pb2.CreateExperimentRequest(request_id=str(uuid4()), experiment=experiment)


def assign(customer_id: str = "globex", segment: str = "enterprise") -> experiments_pb2.AssignVersionRequest:
    return experiments_pb2.AssignVersionRequest(experiment_code="spring", customer_id=customer_id, segment=segment)


async def make_versions(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    await pricing.CreatePlanVersion(create_version())


async def archive(pricing: Client, version: int) -> None:
    request = pricing_pb2.ArchivePlanVersionRequest(request_id=str(uuid4()), plan_code="llm-api", version=version)
    await pricing.ArchivePlanVersion(request)


async def test_an_experiment_assigns_versions(service: "ExperimentServiceAsyncStub", pricing: Client) -> None:
    await make_versions(pricing)
    request = create()
    first = await service.CreateExperiment(request)
    found = await service.GetExperiment(experiments_pb2.GetExperimentRequest(code="spring"))
    assert found.experiment == first.experiment
    assert list((await service.ListExperiments(experiments_pb2.ListExperimentsRequest())).experiments) == [
        first.experiment
    ]
    answer = await service.AssignVersion(assign())
    assert (answer.arm_code, answer.plan_code, answer.version) == ("new", "llm-api", 2)
    by_weight = [(await service.AssignVersion(assign(f"customer-{n}", ""))).arm_code for n in range(20)]
    assert set(by_weight) == {"old", "new"}
    await archive(pricing, 2)
    assert await service.CreateExperiment(request) == first
    with pytest.raises(FailedPrecondition) as refused:
        await service.AssignVersion(assign())
    assert refused.value.reason == "PLAN_VERSION_NOT_SOLD"


async def test_only_versions_that_are_sold_can_be_compared(
    service: "ExperimentServiceAsyncStub", pricing: Client
) -> None:
    await pricing.CreatePlan(create_plan())
    with pytest.raises(NotFound) as missing:
        await service.CreateExperiment(create())
    assert missing.value.reason == "PLAN_VERSION_NOT_FOUND"
    draft = create_version()
    draft.as_draft = True
    await pricing.CreatePlanVersion(draft)
    with pytest.raises(FailedPrecondition) as refused:
        await service.CreateExperiment(create())
    assert refused.value.reason == "PLAN_VERSION_NOT_SOLD"
    assert refused.value.metadata["field"] == "experiment.arms[1].version"
    assert not (await service.ListExperiments(experiments_pb2.ListExperimentsRequest())).experiments


async def test_an_experiment_that_ended_assigns_nobody(service: "ExperimentServiceAsyncStub", pricing: Client) -> None:
    await make_versions(pricing)
    await service.CreateExperiment(create())
    for end, is_over in ((datetime(2024, 1, 1, tzinfo=UTC), False), (NOW, True)):
        change = experiments_pb2.Experiment(code="spring", end_time=timestamp_out(end))
        await service.UpdateExperiment(
            experiments_pb2.UpdateExperimentRequest(experiment=change, update_mask=FieldMask(paths=["end_time"]))
        )
        if not is_over:
            await service.AssignVersion(assign())
            continue
        with pytest.raises(FailedPrecondition) as refused:
            await service.AssignVersion(assign())
        assert refused.value.reason == "EXPERIMENT_ENDED"


async def test_an_experiment_of_another_tenant_is_not_there(
    service: "ExperimentServiceAsyncStub", pricing: Client, dial: Dial
) -> None:
    await make_versions(pricing)
    await service.CreateExperiment(create())
    with pytest.raises(NotFound) as refused:
        await ExperimentServiceStub(dial("rival")).AssignVersion(assign())
    assert refused.value.reason == "EXPERIMENT_NOT_FOUND"


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        (lambda e: e.ClearField("arms"), "FIELD_MISSING", "arms"),
        (lambda e: setattr(e.arms[0], "weight", -1), "WEIGHT_OUT_OF_RANGE", "arms[0].weight"),
        (lambda e: [setattr(arm, "weight", 0) for arm in e.arms], "WEIGHT_OUT_OF_RANGE", "arms"),
        (lambda e: setattr(e.arms[1], "code", "old"), "CODE_DUPLICATE", "arms[1].code"),
        (lambda e: setattr(e.arms[1], "version", 0), "VERSION_NOT_POSITIVE", "arms[1].version"),
        (lambda e: setattr(e.segments[0], "arm_code", "other"), "ARM_UNKNOWN", "segments[0].arm_code"),
        (lambda e: e.segments.add(segment="enterprise", arm_code="old"), "CODE_DUPLICATE", "segments[1].segment"),
    ],
)
def test_a_wrong_field_of_an_experiment_is_named(
    change: Callable[[experiments_pb2.Experiment], object], reason: str, field: str
) -> None:
    experiment = create().experiment
    change(experiment)
    with pytest.raises(InvalidArgument) as refused:
        experiment_in(experiment, NOW)
    assert (refused.value.reason, refused.value.field) == (reason, f"experiment.{field}")
