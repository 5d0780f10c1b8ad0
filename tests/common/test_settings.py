from dataclasses import dataclass

import pytest

from libs.common.settings import SettingsError, env, load


@dataclass(frozen=True, slots=True)
class Settings:
    dsn: str = env("WEIR_DSN")
    key: str = env("WEIR_KEY")
    size: int = env("WEIR_SIZE", 5)


def test_settings_are_read_from_the_environment_and_the_rest_are_defaults() -> None:
    assert load(Settings, {"WEIR_DSN": "d", "WEIR_KEY": "k"}) == Settings("d", "k", 5)
    assert load(Settings, {"WEIR_DSN": "d", "WEIR_KEY": "k", "WEIR_SIZE": "7"}).size == 7


def test_every_variable_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"WEIR_DSN is not set; WEIR_SIZE must be a whole number, not 'big'"):
        load(Settings, {"WEIR_DSN": "", "WEIR_KEY": "k", "WEIR_SIZE": "big"})
