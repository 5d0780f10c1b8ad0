import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidArgument
from libs.common.paging import Page, page_in

keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(st.lists(keys, unique=True).map(sorted), st.integers(1, 7))
def test_following_the_tokens_reads_every_row_once(rows: list[str], size: int) -> None:
    seen: list[str] = []
    token = ""
    while token or not seen:
        page = page_in(size, token)
        after = [row for row in rows if page.after is None or row > page.after]
        part, token = page.cut(after[: size + 1], str)
        seen += part
        if not part:
            break
    assert seen == rows


@pytest.mark.parametrize(("page_size", "size"), [(0, 50), (1, 1), (500, 500), (501, 500), (2**31 - 1, 500)])
def test_a_page_has_50_rows_unless_told_and_never_more_than_500(page_size: int, size: int) -> None:
    assert page_in(page_size, "") == Page(size, None)


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidArgument) as refused:
        page_in(-1, "")
    assert (refused.value.reason, refused.value.field) == ("PAGE_SIZE_NEGATIVE", "page_size")


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "forged",
    [
        "x", "%%%%", "é", token("null"), token("5"), token("[1]"), token("[]"), token('["a","b"]'), token('"a"'),
        token(r'["\u0000"]'), token(r'["\ud800"]'), token("[" * 100_000),
    ],
)  # fmt: skip
def test_a_token_that_no_answer_contained_is_refused(forged: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        page_in(0, forged)
    assert (refused.value.reason, refused.value.field) == ("PAGE_TOKEN_INVALID", "page_token")
