"""Errors that cross the wire. A caller tests the type or the reason, never the message.

    BillingError
    ├── InvalidArgument      the request is wrong, whatever the state       INVALID_ARGUMENT
    ├── Unauthenticated      no valid credential                            UNAUTHENTICATED
    ├── PermissionDenied     a valid credential without the scope           PERMISSION_DENIED
    ├── NotFound             no such thing in this tenant                   NOT_FOUND
    ├── Conflict             it exists, with other contents                 ALREADY_EXISTS
    ├── FailedPrecondition   not in the present state                       FAILED_PRECONDITION
    ├── ResourceExhausted    too much at once; nothing was done             RESOURCE_EXHAUSTED, with RetryInfo
    └── Unavailable          a dependency is away; try again                UNAVAILABLE, with RetryInfo

`libs.common.rpc.status` maps them to gRPC and back. Anything else that is raised is a defect: the caller sees
INTERNAL "internal error", the log has the traceback.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field of a request: its path in proto names, a stable reason, a sentence."""

    field: str
    reason: str
    message: str


class BillingError(Exception):
    """`reason` is stable and UPPER_SNAKE, `message` a sentence for people, `metadata` what the sentence names.

    `violations` are the wrong fields, of errors that name fields; with several, `reason` and `message` are the first
    one's.
    """

    violations: tuple[FieldViolation, ...] = ()

    def __init__(self, reason: str, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = metadata

    def __str__(self) -> str:
        return f"{self.message} [{self.reason}]"


class InvalidArgument(BillingError):
    """One or more wrong fields."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        field: str = "",
        violations: tuple[FieldViolation, ...] = (),
        **metadata: str,
    ) -> None:
        super().__init__(reason, message, **metadata)
        self.violations = violations or ((FieldViolation(field, reason, message),) if field else ())

    @classmethod
    def of(cls, violations: tuple[FieldViolation, ...]) -> "InvalidArgument":
        return cls(violations[0].reason, violations[0].message, violations=violations)

    @property
    def field(self) -> str:
        return self.violations[0].field if self.violations else ""


class Unauthenticated(BillingError):
    pass


class PermissionDenied(BillingError):
    pass


class NotFound(BillingError):
    """`field` is where the request names it, if it does; that is metadata too."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        field: str = "",
        violations: tuple[FieldViolation, ...] = (),
        **metadata: str,
    ) -> None:
        super().__init__(reason, message, **metadata, **({"field": field} if field else {}))
        self.violations = violations or ((FieldViolation(field, reason, message),) if field else ())


class Conflict(BillingError):
    pass


class FailedPrecondition(BillingError):
    pass


class ResourceExhausted(BillingError):
    def __init__(self, reason: str, message: str, *, retry_after_ms: int, **metadata: str) -> None:
        super().__init__(reason, message, **metadata)
        self.retry_after_ms = retry_after_ms


class Unavailable(BillingError):
    def __init__(self, reason: str, message: str, *, retry_after_ms: int = 1000, **metadata: str) -> None:
        super().__init__(reason, message, **metadata)
        self.retry_after_ms = retry_after_ms
