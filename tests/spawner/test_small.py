"""Promises about the spawner itself: small, and nothing of ours in it but itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from fourfold import spawner
from tests.supervise.rig import Rig, scenario


def test_it_stays_under_20_mib() -> None:
    async def test(rig: Rig) -> None:
        for number in range(20):
            await rig.sleeper(f"a.b-1-{number}")
        assert psutil.Process(await rig.spawner_pid()).memory_info().rss < 20 << 20

    scenario(test)


def test_it_imports_the_standard_library_and_itself_alone() -> None:
    main = Path(spawner.__file__).with_name("__main__.py")
    code = f"""
import runpy, sys
sys.argv = ["spawner", "--probe"]
runpy.run_path({str(main)!r}, run_name="__main__")
foreign = [name for name in sys.modules if name.split(".")[0] not in sys.stdlib_module_names]
print([name for name in foreign if name not in ("fourfold", "__main__") and "fourfold.spawner" not in name])
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
