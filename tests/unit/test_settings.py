from pathlib import Path

import pytest

from lakehouse.errors import SettingsError
from lakehouse.fixed_conf import FIXED, values
from lakehouse.settings import ENRICHED, Promoted, Settings, load_settings, unpack_settings

ROOT = Path(__file__).parents[2]


def test_the_settings_file_states_exactly_the_defaults() -> None:
    assert load_settings(ROOT / "conf" / "pipeline.yaml") == Settings()


def test_the_settings_file_names_every_setting() -> None:
    import yaml

    content = yaml.safe_load((ROOT / "conf" / "pipeline.yaml").read_text())
    defaults = Settings().model_dump(mode="json")
    assert {group: set(keys) for group, keys in content.items()} == {
        group: set(keys) for group, keys in defaults.items()
    }


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PATHS__DATA_LAKE", "/srv/lake")
    monkeypatch.setenv("pipeline_simulate__rate", "5")
    settings = unpack_settings(
        {"paths": {"data_lake": "x", "log": "y"}, "simulate": {"rate": 9, "bots": 0.5}}, "f.yaml"
    )
    assert (str(settings.paths.data_lake), str(settings.paths.log)) == ("/srv/lake", "y")
    assert (settings.simulate.rate, settings.simulate.bots) == (5, 0.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"colour": 1}, "f.yaml: colour: unknown key; allowed: batch, geoip, ingest, jobs,"),
        ({"simulate": {"rte": 1}}, "f.yaml: simulate.rte: unknown key; allowed: bots, duplicates,"),
        ({"simulate": {"rate": 0}}, "f.yaml: simulate.rate = 0: Input should be greater than 0"),
        ({"simulate": {"bots": 1.5}}, "f.yaml: simulate.bots = 1.5: Input should be less than or equal to 1"),
        ({"simulate": {"rate": "fast"}}, "f.yaml: simulate.rate = 'fast': Input should be a valid number"),
        ({"landing": {"format": "csv"}}, "f.yaml: landing.format = 'csv': Input should be 'parquet' or 'json'"),
        (
            {"rules": {"required": ["event_id", "timestamp", "colour"]}},
            "no such column: colour; allowed: agent, bytes,",
        ),
        ({"rules": {"required": ["ip"]}}, "event_id, timestamp must be among them"),
        (
            {"jobs": {"x": {"cron": "61 * * * *", "program": "cleaner", "command": "merge"}}},
            "f.yaml: jobs.x.cron = '61",
        ),
        ({"jobs": {"x": {"cron": "* * * * *", "program": "rm", "command": "merge"}}}, "f.yaml: jobs.x.program = 'rm'"),
        (
            {"promoted": {"x": {"field": "a", "colour": 1}}},
            "f.yaml: promoted.x.colour: unknown key; allowed: field, type",
        ),
        (
            {"promoted": {"x": {"field": "a", "type": "int"}}},
            "f.yaml: promoted.x.type = 'int': Input should be 'string',",
        ),
        ({"promoted": {"x": {}}}, "f.yaml: promoted.x.field"),
        ({"promoted": {"Status": {"field": "a"}}}, "not a column's name; allowed: small letters, digits and _"),
        ({"promoted": {"a b": {"field": "a"}}}, "not a column's name"),
        ({"promoted": {"x`": {"field": "a"}}}, "not a column's name"),
        ({"promoted": {"browser": {"field": "a"}}}, "delta/ has a column of this name already; choose another"),
        ({"promoted": {"bot": {"field": "a"}}}, "delta/ has a column of this name already; choose another"),
        (
            {"geoip": {"database": "x.mmdb"}, "promoted": {"country": {"field": "a"}}},
            "f.yaml: promoted = {'country': {'field': 'a'}}: country is made by geoip.database; give this column another",
        ),
        ({"ingest": {"time_zone": "Europe"}}, "f.yaml: ingest.time_zone = 'Europe': must be a time zone such as"),
        ({"page": {"time_zone": "Mars/Base"}}, "f.yaml: page.time_zone = 'Mars/Base': must be a time zone such as"),
        ({"geoip": {"database": 7}}, "f.yaml: geoip.database = 7: Input is not a valid path"),
        *(
            ({"promoted": {"x": {"field": field}}}, "not a field; allowed: its name, or a path such as")
            for field in ("", "a'b", "$", "$.", "$..a", "$.a[*]", "$.*", "$['a", "$.a b", "$x")
        ),
        *(
            (
                {"spark": {"conf": {key: "x"}}},
                f"f.yaml: spark.conf = {{'{key}': 'x'}}: {key} must stay {value}: {reason}",
            )
            for key, (value, reason) in FIXED.items()
        ),
        ({"paths": None}, "f.yaml: paths = None"),
        ([], "f.yaml: must be a mapping of groups"),
        ("text", "f.yaml: must be a mapping of groups"),
        ({1: 2}, "f.yaml: must be a mapping of groups"),
        ({"paths": {"data_lake": "\x1b[31m"}, "x": "\x1b[31m"}, "unknown key"),
    ],
)
def test_a_wrong_setting_is_named_with_file_key_value_and_what_is_allowed(content: object, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        unpack_settings(content, "f.yaml")
    assert message in str(error.value)
    assert "\x1b" not in str(error.value)


def test_a_setting_of_spark_that_figures_depend_on_may_be_stated_as_it_is_and_any_other_changed() -> None:
    conf = values(FIXED) | {"spark.sql.codegen.wholeStage": "false"}
    assert unpack_settings({"spark": {"conf": conf}}, "f.yaml").spark.conf == conf


def test_no_promoted_column_can_take_the_name_of_one_that_is_there() -> None:
    from lakehouse.schema import DELTA

    assert set(DELTA.names) == ENRICHED


def test_a_promoted_column_may_be_called_country_where_there_is_no_database_of_them() -> None:
    content = {"geoip": {"database": None}, "promoted": {"country": {"field": "a"}}}
    assert unpack_settings(content, "f.yaml").enrichment.promoted == {"country": Promoted(field="$['a']")}


def test_a_variable_that_is_empty_switches_countries_off(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"geoip": {"database": "conf/x.mmdb"}}
    assert unpack_settings(content, "f.yaml").geoip.database == Path("conf/x.mmdb")
    monkeypatch.setenv("PIPELINE_GEOIP__DATABASE", "")
    assert unpack_settings(content, "f.yaml").geoip.database is None


def test_a_promoted_field_is_a_name_or_a_path() -> None:
    promoted = {"a": {"field": "request time"}, "b": {"field": "$.o['k.l'][0].x", "type": "long"}}
    found = unpack_settings({"promoted": promoted}, "f.yaml").promoted
    assert found == {"a": Promoted(field="$['request time']"), "b": Promoted(field="$.o['k.l'][0].x", type="long")}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PIPELINE_PATHS__FOO", "1", "environment: PIPELINE_PATHS__FOO: unknown key; allowed: data_lake, log"),
        ("PIPELINE_SIMULATE__RATE", "x", "environment: PIPELINE_SIMULATE__RATE = 'x': Input should be a valid number"),
        ("PIPELINE_COLOUR", "1", "environment: PIPELINE_COLOUR: no such group of settings; allowed: PIPELINE_PATHS__"),
        ("PIPELINE_PATHS", "{", """environment: PIPELINE_PATHS = '{': must be JSON, such as {"key": "value"}"""),
        (
            "PIPELINE_SPARK__CONF",
            '{"spark.sql.session.timeZone": "Europe/Berlin"}',
            "environment: PIPELINE_SPARK__CONF = {'spark.sql.session.timeZone': 'Europe/Berlin'}: spark.sql.session.timeZone must",
        ),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        unpack_settings({}, "f.yaml")
    assert message in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such settings file"):
        load_settings(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(SettingsError, match=r"broken.yaml: cannot be read as YAML"):
        load_settings(broken)
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    assert load_settings(empty) == Settings()
