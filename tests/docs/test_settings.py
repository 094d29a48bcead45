"""docs/settings.md names every setting with its variable, its default, and where things are."""

from __future__ import annotations

import re
from pathlib import Path

from fourfold.control.settings import Settings, load_settings
from fourfold.paths import Paths

PAGE = (Path(__file__).parents[2] / "docs/settings.md").read_text()


def test_names_every_setting_and_its_variable() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)\b", PAGE, re.MULTILINE))
    assert rows == {name: f"FOURFOLD_{name.upper()}" for name in Settings.model_fields}


def test_shows_the_defaults(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "fourfold.toml"
    file.write_text(text)
    loaded = load_settings(file, {})
    assert loaded.model_fields_set == set(Settings.model_fields)
    assert loaded == Settings()


def test_examples_of_variables_are_read() -> None:
    given = dict(re.findall(r"`(FOURFOLD_\w+)=([^`]+)`", PAGE))
    assert load_settings(Path("/nowhere"), given) == Settings()
    assert len(given) == 3


def test_places() -> None:
    for paths in (
        Paths.find({}, 0),
        Paths.find({"HOME": "~"}, 1000),
        Paths.find({"FOURFOLD_HOME": "/$FOURFOLD_HOME"}, 1),
    ):
        for place in (paths.settings, paths.state, paths.run, paths.secrets_key):
            assert f"`{str(place).removeprefix('/$').replace('FOURFOLD_HOME/', '$FOURFOLD_HOME/')}`" in PAGE, place
