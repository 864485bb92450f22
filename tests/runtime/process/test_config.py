"""Settings of a process: from the environment, from files, and by name where they are missing."""

import msgspec
import pytest

from marketplace.core.errors import Refusal
from marketplace.runtime.process.config import Settings, load_settings, render_environment
from marketplace.runtime.process.secrets import new_admin_key, new_secret, require_api_secrets


def test_what_is_given_goes_before_the_environment_and_a_file_before_a_variable(tmp_path):
    secret = tmp_path / "secret"
    text = new_secret()
    secret.write_text(f"{text}\n")
    environment = {
        "MARKETPLACE_NATS_URL": "nats://environment:4222",
        "MARKETPLACE_DATABASE_URL": "postgresql+asyncpg://environment/m",
        "MARKETPLACE_API_KEY_SECRET_FILE": str(secret),
        "MARKETPLACE_NATS_REPLICAS": "3",
        "MARKETPLACE_TLS_ONLY": "1",
    }
    settings = load_settings(environment, nats_url="nats://given:4222", database_url=None)
    assert settings.nats_url == "nats://given:4222"
    assert settings.database_url == "postgresql+asyncpg://environment/m"
    assert settings.api_key_secret == text
    assert settings.nats_replicas == 3
    assert settings.tls_only
    assert settings.embedded is False


def test_a_child_has_the_settings_of_its_parent():
    settings = Settings(nats_url="nats://a:1", admin_key=new_admin_key(), api_key_secret=new_secret(), embedded=True)
    for calendar in (False, True):
        own = msgspec.structs.replace(settings, calendar=calendar, clearing_seconds_max=77)
        assert load_settings(render_environment(own)) == own


@pytest.mark.parametrize(
    ("environment", "code", "word"),
    [
        ({}, "setting_missing", "MARKETPLACE_NATS_URL"),
        ({"MARKETPLACE_NATS_REPLICAS": "2"}, "setting_invalid", "MARKETPLACE_NATS_REPLICAS"),
        ({"MARKETPLACE_CALENDAR": "yes"}, "setting_invalid", "MARKETPLACE_CALENDAR"),
        ({"MARKETPLACE_CLEARING_SECONDS_MAX": "0"}, "setting_invalid", "MARKETPLACE_CLEARING_SECONDS_MAX"),
        ({"MARKETPLACE_CLEARING_SECONDS_MAX": "soon"}, "setting_invalid", "MARKETPLACE_CLEARING_SECONDS_MAX"),
        ({"MARKETPLACE_CLEARING_SECONDS_MAX": "90000"}, "setting_invalid", "MARKETPLACE_CLEARING_SECONDS_MAX"),
        ({"MARKETPLACE_ADMIN_KEY_FILE": "/nowhere/key"}, "setting_invalid", "MARKETPLACE_ADMIN_KEY_FILE"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(environment, code, word):
    base = {} if code == "setting_missing" else {"MARKETPLACE_NATS_URL": "nats://a:1"}
    with pytest.raises(Refusal, match=word) as refused:
        load_settings(base | environment)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("secret", "key", "code", "word"),
    [
        ("", "", "setting_missing", "API_KEY_SECRET"),
        ("short", "", "setting_invalid", "API_KEY_SECRET"),
        ("s" * 32, "", "setting_missing", "ADMIN_KEY"),
        ("s" * 32, "mkp_x", "setting_invalid", "ADMIN_KEY"),
    ],
)
def test_an_api_does_not_start_without_the_secrets_of_its_keys(secret, key, code, word):
    with pytest.raises(Refusal, match=word) as refused:
        require_api_secrets(Settings(nats_url="nats://a:1", api_key_secret=secret, admin_key=key))
    assert refused.value.code == code


def test_what_is_made_new_is_taken():
    require_api_secrets(Settings(nats_url="nats://a:1", api_key_secret=new_secret(), admin_key=new_admin_key()))
