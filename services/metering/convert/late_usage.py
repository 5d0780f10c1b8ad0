"""Late usage."""

from libs.common.errors import InvalidArgument
from libs.common.wire import text_in, timestamp_in, timestamp_out
from services.metering.convert.usage import watermark_in
from services.metering.domain.late_usage import LateAnswers, LateQuestion
from weir.metering.v1 import late_usage_pb2

MAX_QUESTIONS = 10_000


def questions_in(request: late_usage_pb2.BatchFindLateUsageRequest) -> list[LateQuestion]:
    count = len(request.questions)
    if not count:
        raise InvalidArgument("FIELD_MISSING", "questions is required", field="questions")
    if count > MAX_QUESTIONS:
        raise InvalidArgument(
            "QUESTIONS_TOO_MANY", f"{count} questions in one call, {MAX_QUESTIONS} at most", field="questions"
        )
    return [_question_in(question, f"questions[{index}].") for index, question in enumerate(request.questions)]


def _question_in(question: late_usage_pb2.LateUsageQuestion, path: str) -> LateQuestion:
    return LateQuestion(
        subscription_id=text_in(question.subscription_id, f"{path}subscription_id"),
        since=watermark_in(question.since_watermark, f"{path}since_watermark") or 0,
        before=timestamp_in(question.before_time, question.HasField("before_time"), f"{path}before_time"),
    )


def answers_out(answers: LateAnswers) -> late_usage_pb2.BatchFindLateUsageResponse:
    return late_usage_pb2.BatchFindLateUsageResponse(
        answers=[
            late_usage_pb2.LateUsageAnswer(
                usages=[
                    late_usage_pb2.LateUsage(
                        meter_code=usage.meter_code,
                        first_time=timestamp_out(usage.first_time),
                        last_time=timestamp_out(usage.last_time),
                        event_count=usage.event_count,
                    )
                    for usage in usages
                ]
            )
            for usages in answers.usages
        ],
        watermark=answers.watermark,
    )
