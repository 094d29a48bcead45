"""A Launch with a bundle as the spawner's request: the runtime is what is started, with all it needs in one folder.

`run/containers/INSTANCE.RUN` is of one start alone (`supervise.folders`). Of crun and runsc it is in /dev/shm: they
write down the environment, secrets and all, and a home's run folder may be on a disk. runc's state has no environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from fourfold.errors import WorldError
from fourfold.launch import oci
from fourfold.launch.common import SYSTEM_PATH
from fourfold.launch.model import Bundle, Launch
from fourfold.spawner.request import BUNDLE, PID_FILE
from fourfold.supervise.cgroups.cgroups import Groups
from fourfold.supervise.folders import Folders

RUNTIME_ENV = {"PATH": SYSTEM_PATH}
_SHARED_MEMORY = Path("/dev/shm")


class Bundles:
    """The folders of one home, and what is asked of the spawner for them."""

    def __init__(self, folder: Path, groups: Groups) -> None:
        """`folder`: `paths.containers`."""
        self._folders, self._in_memory = map(Folders, homes(folder))
        self._groups = groups

    def make(self, name: str, bundle: Bundle) -> None:
        """The folder of one start. WorldError."""
        self._home(bundle).make(name, BUNDLE, "state")

    def remove(self, name: str) -> None:
        for home in (self._folders, self._in_memory):
            home.remove(name)

    def clear(self, kept: Collection[str]) -> None:
        """Folders of starts that nobody knows any more."""
        for home in (self._folders, self._in_memory):
            home.clear(kept)

    def close(self) -> None:
        """Leave no trace of a home that runs nothing."""
        for home in (self._folders, self._in_memory):
            home.close()

    def starting(
        self,
        launch: Launch,
        bundle: Bundle,
        env: Mapping[str, str],
        name: str,
        *,
        held: bool,
        tty: bool,
    ) -> dict[str, Any]:
        """The keys of a spawn request that differ from a plain program's; held ones stay below their runtime."""
        folder = str(self._of(name, bundle))
        group = self._groups.path(name)
        if group is None:
            raise WorldError(f"cannot start {launch.instance}: its control groups are not in the same place everywhere")
        config = oci.completed(bundle.config, launch.argv, env, tty, group)
        files = {**bundle.files, "config.json": json.dumps(config)}
        pid_file = None if held else f"{folder}/{PID_FILE}"
        argv = oci.run_command(bundle.runtime, name, folder, f"{folder}/{BUNDLE}", pid_file)
        overlays = {target: [os.path.realpath(each) for each in shown] for target, shown in bundle.overlays.items()}
        given = self._given(name, bundle, files) | {"overlays": overlays, "points": list(bundle.points)}
        return {
            "argv": list(argv),
            "env": RUNTIME_ENV,
            "cgroups": self._groups.everywhere(name),
            "bundle": given | {"leaves": not held},
        }

    def entering(self, launch: Launch, bundle: Bundle, env: Mapping[str, str], name: str, tty: bool) -> dict[str, Any]:
        """As `starting`, for another program in the running container `name`."""
        folder = str(self._of(name, bundle))
        # An init of its own ends with 127 when there is no such program; runtimes each end in their own way. In gVisor
        # it cannot be one.
        init = () if bundle.runtime == "runsc" else (oci.INIT, "-s", "--")
        process = oci.entered(bundle.config, (*init, *launch.argv), env, tty)
        argv = oci.exec_command(bundle.runtime, name, folder, f"{folder}/{BUNDLE}")
        given = self._given(name, bundle, {oci.PROCESS: json.dumps(process)})
        # runc begins where the root was, which is only there in the namespace that the container was started in.
        return {"argv": list(argv), "env": RUNTIME_ENV, "bundle": given | {"points": ["rootfs"]}}

    def _home(self, bundle: Bundle) -> Folders:
        return self._folders if bundle.runtime == "runc" else self._in_memory

    def _of(self, name: str, bundle: Bundle) -> Path:
        return self._home(bundle).path(name)

    def _given(self, name: str, bundle: Bundle, files: Mapping[str, str]) -> dict[str, Any]:
        # crun gives up when it finds controllers in v1 and a v2 tree beside them.
        unified = self._groups.unified_beside_v1() if bundle.runtime == "crun" else None
        return {
            "folder": str(self._of(name, bundle)),
            "files": list(files.items()),
            "overlays": {},
            "points": [],
            "size": bundle.size,
            "unmounted": [str(unified)] if unified else [],
            "cgroups": self._groups_of_runtime(name, bundle),
            "leaves": False,
        }

    def _groups_of_runtime(self, name: str, bundle: Bundle) -> list[str]:
        if bundle.runtime == "runsc":  # it puts nothing into groups: all that it starts stays in its own
            return self._groups.folders(name)
        return [self._groups.create_one(runtime_group(name))]


def homes(folder: Path) -> tuple[Path, Path]:
    """Where the folders of starts are: of runc, and of the runtimes that write down what is secret."""
    return folder, _SHARED_MEMORY / f"fourfold-{sha256(os.fsencode(folder.absolute())).hexdigest()[:12]}"


def runtime_group(name: str) -> str:
    """A container's runtime is not in the container's own group: that is empty when the runtime is started."""
    return f"{name}.runtime"
