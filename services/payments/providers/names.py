"""Names that we choose, short enough for every processor that takes them."""

import hashlib

MOST_CUSTOMER = 256


def customer_name(tenant_id: str, customer_id: str) -> str:
    """What a processor that makes no customers knows a customer by. A tenant's own pages may use it, too."""
    return within(f"{tenant_id}:{customer_id}", MOST_CUSTOMER)


def within(name: str, most: int) -> str:
    """`name`, or 64 characters made of it where it is longer than `most`."""
    return name if len(name) <= most else hashlib.sha256(name.encode()).hexdigest()
