import pytest

from libs.embedded.account import Account, accounts
from libs.embedded.errors import EmbeddedServerError

NAMESPACE = Account(("/usr/bin/unshare", "--user", "--map-user=65534", "--map-group=65534"))


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_an_ordinary_user_stays_who_it_is(platform: str) -> None:
    assert accounts(platform, 1000, named=True, unshare="/usr/bin/unshare") == (Account(),)


def test_root_prefers_a_namespace_to_becoming_nobody() -> None:
    assert accounts("linux", 0, named=True, unshare="/usr/bin/unshare") == (NAMESPACE, Account(uid=65534))


def test_root_becomes_nobody_where_namespaces_are_forbidden() -> None:
    assert accounts("linux", 0, named=True, unshare=None) == (Account(uid=65534),)


def test_a_user_without_a_name_gets_one_in_a_namespace() -> None:
    assert accounts("linux", 12345, named=False, unshare="/usr/bin/unshare") == (NAMESPACE,)


def test_a_user_without_a_name_is_told_where_namespaces_are_forbidden() -> None:
    with pytest.raises(EmbeddedServerError, match="uid 12345 has no passwd entry"):
        accounts("linux", 12345, named=False, unshare=None)


def test_root_is_refused_on_macos() -> None:
    with pytest.raises(EmbeddedServerError, match="as an ordinary user"):
        accounts("darwin", 0, named=True, unshare=None)
