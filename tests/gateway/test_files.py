"""The gateway's folder where nothing can be written: an error of the world, which is tried again, no fault of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from fourfold.errors import WorldError
from fourfold.gateway.files import Folder
from fourfold.gateway.model import GatewayConfig
from fourfold.gateway.render import render


def test_what_cannot_be_written_is_the_worlds_fault(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file is where the folder should be")
    folder, rendered = Folder(tmp_path / "taken"), render(GatewayConfig())
    with pytest.raises(WorldError, match="cannot write the gateway's configuration"):
        folder.write(rendered, {})
    with pytest.raises(WorldError, match="cannot write the gateway's configuration"), folder.trial(rendered, {}):
        pass
