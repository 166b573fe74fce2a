"""Settings: where a value comes from, what a bad one says, and that secrets stay secret."""

from __future__ import annotations

import copy
import logging
import pickle
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from springline.errors import ConfigurationError
from springline.secret import Secret, redact
from springline.settings import TABLE, Settings, given, unknown_variables


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file or variable of the machine takes part."""
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.delenv("SPRINGLINE_CONFIG", raising=False)


def write(text: str, name: str = "springline.toml") -> Path:
    path = Path.cwd() / name
    path.write_text(text)
    return path


def refusal(**arguments: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(**arguments)  # type: ignore[arg-type]
    return caught.value


def test_without_anything_every_setting_has_its_default() -> None:
    assert Settings.load() == Settings()
    assert {setting.name: setting.default for setting in TABLE} == {
        setting.name: getattr(Settings(), setting.name) for setting in TABLE
    }


def test_every_field_is_a_row_of_the_table() -> None:
    assert [one.name for one in fields(Settings) if one.name != "origins"] == [
        setting.name for setting in TABLE
    ]
    assert all(setting.about.description.endswith(".") for setting in TABLE)


def test_a_flag_goes_before_the_environment_and_that_before_the_file() -> None:
    path = write("port = 1\nhost = '::1'\nembedder = 'local'\n")
    environment = {"SPRINGLINE_PORT": "2", "SPRINGLINE_HOST": "localhost"}
    settings = Settings.load(flags={"port": "3"}, environment=environment)
    assert (settings.port, settings.host, settings.embedder) == (3, "localhost", "local")
    assert settings.where("port") == "--port"
    assert settings.where("host") == "SPRINGLINE_HOST"
    assert settings.where("embedder") == f"{path}:3"
    assert settings.where("log_level") == "the default"


def test_the_file_stands_beside_the_application_or_is_named(tmp_path: Path) -> None:
    beside = tmp_path / "app"
    beside.mkdir()
    (beside / "springline.toml").write_text("port = 7")
    named = write("port = 9", "other.toml")
    assert Settings.load().port == 8400
    assert Settings.load(beside=beside).port == 7
    assert Settings.load(beside=beside, environment={"SPRINGLINE_CONFIG": str(named)}).port == 9
    assert Settings.load(config=named).port == 9
    assert "There is no settings file" in refusal(config=tmp_path / "absent.toml").message


def test_what_the_command_line_gives_reaches_the_application_that_it_imports(tmp_path: Path) -> None:
    with given({"port": 0, "host": None}, beside=tmp_path):
        assert (Settings.load().port, Settings.load().host) == (0, "127.0.0.1")
    assert Settings.load().port == 8400


def test_a_path_in_a_file_is_meant_from_where_the_file_stands(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "springline.toml").write_text('data = "kept"')
    assert Settings.load(beside=folder).data == folder / "kept"
    assert Settings.load(environment={"SPRINGLINE_DATA": "kept"}).data == Path("kept")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SPRINGLINE_PORT": "abc"}, "SPRINGLINE_PORT: port must be a whole number from 0 to 65535; got 'abc'."),
        ({"SPRINGLINE_PORT": "70000"}, "SPRINGLINE_PORT: port must be a whole number from 0 to 65535; got '70000'."),
        ({"SPRINGLINE_EMBEDDER": "big"}, "SPRINGLINE_EMBEDDER: embedder must be one of auto, local, hashing; got 'big'."),
        ({"SPRINGLINE_DEADLINE_MS": "nan"}, "SPRINGLINE_DEADLINE_MS: deadline_ms must be a number from 1 to 60000; got 'nan'."),
        ({"SPRINGLINE_WAL_LIMIT_BYTES": "5"}, "SPRINGLINE_WAL_LIMIT_BYTES: wal_limit_bytes must be a whole number of at least 1048576; got '5'."),
    ],
)  # fmt: skip
def test_a_bad_variable_is_named(environment: dict[str, str], message: str) -> None:
    assert refusal(environment=environment).message == message


def test_a_bad_flag_and_a_bad_line_are_named() -> None:
    assert refusal(flags={"port": "x"}).message.startswith("--port: port must be")
    path = write('host = "::1"\n\nport = true\n')
    assert refusal().message == f"{path}:3: port must be a whole number from 0 to 65535; got True."


def test_an_unknown_setting_is_refused_with_the_one_that_was_meant() -> None:
    path = write("host = '::1'\nprot = 1\n")
    error = refusal()
    assert error.message == f"{path}:2: there is no setting 'prot'."
    assert error.hint == "Did you mean 'port'?"
    write("[server]\nport = 1\n")
    assert "there is no setting 'server'" in refusal().message


def test_a_file_that_is_not_toml_says_where() -> None:
    write("port = \n")
    assert "line 1" in refusal().message


def test_unknown_variables_are_found() -> None:
    found = unknown_variables(
        {"SPRINGLINE_PROT": "1", "SPRINGLINE_PORT": "1", "SPRINGLINE_CONFIG": "x", "HOME": "/"}
    )
    assert found == {"SPRINGLINE_PROT": "SPRINGLINE_PORT"}


def test_a_model_needs_its_server() -> None:
    assert "SPRINGLINE_MODEL_URL" in str(refusal(environment={"SPRINGLINE_MODEL": "small"}))
    both = {"SPRINGLINE_MODEL": "small", "SPRINGLINE_MODEL_URL": "http://localhost:8080/v1"}
    assert Settings.load(environment=both).model == "small"


def test_lists_come_from_commas_and_arrays() -> None:
    assert Settings.load(environment={"SPRINGLINE_ALLOW_HOSTS": "a.example, b.example"}).allow_hosts == (
        "a.example",
        "b.example",
    )
    write('allow_hosts = ["c.example"]')
    assert Settings.load().allow_hosts == ("c.example",)
    assert Settings.load(flags={"allow_hosts": ("d.example",)}).allow_hosts == ("d.example",)


def test_the_runtime_gets_its_limits() -> None:
    options = Settings(log_retention_s=60.0, maximum_snapshot_age_s=2.0).runtime_options()
    assert (options.retention.log_age_s, options.maximum_snapshot_age_s) == (60.0, 2.0)


# -- secrets -------------------------------------------------------------------------------------------------------

HIDDEN = "s3cr3t-token-of-some-length"


def test_a_secret_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    write('token = "env:MY_TOKEN"')
    token = Settings.load().token
    assert token is not None
    with pytest.raises(ConfigurationError, match="MY_TOKEN"):
        token.reveal()
    monkeypatch.setenv("MY_TOKEN", HIDDEN)
    assert token.reveal() == HIDDEN


def test_the_environment_may_hold_the_secret_itself_or_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", HIDDEN)
    for given_text in (HIDDEN, "env:MY_TOKEN"):
        token = Settings.load(environment={"SPRINGLINE_TOKEN": given_text}).token
        assert token is not None
        assert token.reveal() == HIDDEN


def test_a_plain_secret_in_a_file_or_a_flag_is_refused_and_not_repeated() -> None:
    path = write(f'token = "{HIDDEN}"')
    error = refusal()
    assert str(path) in error.message
    assert "env:NAME" in (error.hint or "")
    assert HIDDEN not in str(error)
    path.unlink()
    assert HIDDEN not in str(refusal(flags={"token": HIDDEN}))


def test_a_secret_file_is_read_and_others_who_can_read_it_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token"
    path.write_text(HIDDEN + "\n")
    path.chmod(0o600)
    with caplog.at_level(logging.WARNING):
        assert Secret.parse(f"file:{path}", what="token").reveal() == HIDDEN
        assert not caplog.records
        path.chmod(0o644)
        Secret.parse(f"file:{path}", what="token").reveal()
    assert f"chmod 600 {path}" in caplog.text
    assert HIDDEN not in caplog.text


@pytest.mark.parametrize("text", ["env:", "file: "])
def test_a_reference_to_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="names nothing"):
        Secret.parse(text, what="token")


def test_a_missing_and_an_empty_secret_file_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Secret.parse(f"file:{tmp_path / 'absent'}", what="token").reveal()
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(ConfigurationError, match="is empty"):
        Secret.parse(f"file:{tmp_path / 'empty'}", what="token").reveal()


def test_no_way_of_printing_shows_a_secret() -> None:
    settings = Settings.load(environment={"SPRINGLINE_TOKEN": HIDDEN})
    assert settings.token is not None
    shown = [
        repr(settings),
        str(settings.token),
        f"{settings.token}",
        repr(asdict(settings)),
        repr(copy.deepcopy(settings)),
    ]
    assert not [text for text in shown if HIDDEN in text]
    with pytest.raises(TypeError):
        pickle.dumps(settings.token)


def test_what_was_revealed_is_taken_out_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DSN", "postgresql://ann:p%40ssw0rd-9@db/crm")
    assert Settings().reveal("env:MY_DSN").endswith("/crm")
    assert "ssw0rd" not in redact(
        "could not connect: postgresql://ann:p%40ssw0rd-9@db/crm; password p@ssw0rd-9"
    )
    Settings().reveal("host=db password='an0ther-one' dbname=crm")
    assert redact("an0ther-one") == "•••"
