"""A service's own Dockerfile, built by buildah or by Docker, whichever is there; the result as any other image.

Its commands run as these tools run them: as root of their own container, with network. Mounts and processes are in
namespaces of the tool's own, so that none is left however it ends, and the host's processes cannot be seen or ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fourfold.build.model import DIES_WITH_US, Step
from fourfold.build.oci import transport
from fourfold.build.oci.pull import Log, take_over
from fourfold.build.oci.unpack import UnpackLimits
from fourfold.build.sandbox import Bounds, Box
from fourfold.build.steps import Output, run_step
from fourfold.errors import FourfoldError, UserError, WorldError
from fourfold.store.files import trees
from fourfold.store.files.images import Images, Record
from fourfold.store.files.sources import Sources
from fourfold.store.manifest import Manifest

Tool = Literal["buildah", "docker"]
STORAGE_BYTES = 10 * 1024**3
"""Of buildah's own layers, and of what its cache mounts hold: kept for the next build."""
_PASSED = (
    "HOME", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "DOCKER_HOST", "HTTP_PROXY", "HTTPS_PROXY",
    "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
"""Where the tools find credentials and the way out."""
_LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
_SOURCE = re.compile(r"^Error: .*initializing source (docker://\S+): (.+)")


@dataclass(frozen=True)
class Recipe:
    """What to build."""

    service: str
    source: str
    """Digest of the source, which is the build's context."""
    dockerfile: str
    """Its place in the source."""
    storage: Path
    """Buildah's, of this service alone: its cache."""
    app: str = ""
    """For which it is built: what the same source gave others is not taken, they may have had a cache of their own."""
    groups: tuple[str, ...] = ()
    """Control groups that bound the build."""
    seconds: float = 15 * 60
    size: int = 8 * 1024**3
    """Bytes; the context and the storage may be twice that."""


async def dockerfile_image(
    recipe: Recipe, images: Images, sources: Sources, work: Path, log: Log, *,
    fresh: bool = False, limits: UnpackLimits | None = None,
) -> Record:  # fmt: skip
    """The record of what the Dockerfile gives, with its layers in the store; built unless it was before, or `fresh`.

    Raises UserError where no tool is there or the source has no such file, WorldError when the build fails.
    """
    manifest = await asyncio.to_thread(sources.get, recipe.source)
    check_dockerfile(recipe, manifest)
    tool = await asyncio.to_thread(find_tool, recipe)
    name = f"dockerfile {recipe.app} {recipe.source} {recipe.dockerfile} {tool}"
    if not fresh and (found := await asyncio.to_thread(images.records.get, name)) is not None:
        return found
    staging = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=work, prefix="dockerfile-"))
    try:
        await asyncio.to_thread(_prepare, recipe, sources, staging)
        await _run(recipe, tool, staging, log, fresh)
        what = f"the image of {recipe.service}'s {recipe.dockerfile}"
        return await take_over(staging / "layout", what, name, images, log, limits)
    finally:
        await asyncio.shield(asyncio.to_thread(_tidy, recipe, staging))


def check_dockerfile(recipe: Recipe, manifest: Manifest) -> None:
    """Raises UserError when the source does not have it."""
    if not any(entry.path == recipe.dockerfile for entry in manifest.entries):
        raise UserError(
            f"cannot build {recipe.service}: its source has no {recipe.dockerfile}",
            "name the file inside the source in container.dockerfile; see that .gitignore or .dockerignore leaves it",
        )


def find_tool(recipe: Recipe) -> Tool:
    """Raises UserError where neither is of use."""
    if shutil.which("buildah") is not None:
        return "buildah"
    if shutil.which("docker") is not None and _docker_answers():
        return "docker"
    raise UserError(
        f"cannot build {recipe.service} from {recipe.dockerfile}: there is no buildah, and no Docker that answers",
        "apt-get install buildah",
    )


def _docker_answers() -> bool:
    argv = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(argv, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _prepare(recipe: Recipe, sources: Sources, staging: Path) -> None:
    sources.materialize(recipe.source, staging / "context")
    (staging / "files" / "home").mkdir(parents=True)
    temporary = _temporary(recipe)
    temporary.mkdir(parents=True, exist_ok=True)
    for left in temporary.iterdir():  # by one that was killed
        if not left.name.startswith("buildah-cache"):
            trees.remove(left)


def _temporary(recipe: Recipe) -> Path:
    """Where buildah has its temporary files, and `RUN --mount=type=cache` what it keeps: not in one place for all."""
    return recipe.storage / "tmp"


def _tidy(recipe: Recipe, staging: Path) -> None:
    trees.remove(staging)
    if recipe.storage.is_dir() and trees.size_of(recipe.storage) > STORAGE_BYTES:
        trees.remove(recipe.storage)


async def _run(recipe: Recipe, tool: Tool, staging: Path, log: Log, fresh: bool) -> None:
    box = Box(
        mode="none", tree=staging / "context", cache=recipe.storage, files=staging / "files", uid=0, gid=0,
        bounds=Bounds(processes=None), groups=recipe.groups,
    )  # fmt: skip
    env = {name: os.environ[name] for name in _PASSED if name in os.environ}
    env |= {"PATH": "/usr/sbin:/sbin", "TMPDIR": str(_temporary(recipe))}
    end = asyncio.get_running_loop().time() + recipe.seconds
    output = Output(log)
    most = {name: resource.getrlimit(limit)[1] for name, limit in _LIMITS.items()}
    try:
        for title, argv in commands(recipe, tool, staging, fresh, most):
            left = end - asyncio.get_running_loop().time()
            await run_step(Step(tuple(argv), network=True, env=env, title=title), box, output, left, recipe.size)
    except WorldError as error:
        if (refused := not_fetched(output.tail)) is not None:
            raise refused from error
        what = error.what.replace("cannot build:", f"cannot build {recipe.service}:", 1)
        raise WorldError(what, error.hint) from error
    if tool == "docker":
        await transport.convert(f"docker-archive:{staging}/image.tar", staging / "layout")


def not_fetched(said: Iterable[str]) -> FourfoldError | None:
    """What is to be done where the build failed for an image that it stands on, by buildah's last lines. Pure."""
    found = [match for line in said if (match := _SOURCE.search(line))]
    return transport.explained("pull", found[-1][1], found[-1][2], "buildah") if found else None


def commands(
    recipe: Recipe, tool: Tool, staging: Path, fresh: bool, most: Mapping[str, int]
) -> list[tuple[str, Sequence[str]]]:
    """Titles and command lines, one after the other. Pure.

    `most` is what may be had here of each limit: buildah 1.39 would raise those two to 1,048,576 (1.28 did not), and
    fails where root may not raise its limits.
    """
    context = staging / "context"
    again = ["--no-cache"] if fresh else []
    if tool == "docker":
        tag = f"fourfold-build:{hashlib.sha256(str(recipe.storage).encode()).hexdigest()[:16]}"
        build = ["docker", "build", *again, "-t", tag, "-f", str(context / recipe.dockerfile), str(context)]
        return [
            (f"docker build -f {recipe.dockerfile}", build),
            ("docker save", ["docker", "save", "-o", str(staging / "image.tar"), tag]),
        ]
    limits = [f"--ulimit={name}={value}:{value}" for name, value in most.items()]
    buildah = [
        *DIES_WITH_US, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "buildah", "--root",
        str(recipe.storage), "--runroot", str(staging / "run"), "--storage-driver", "overlay",
    ]  # fmt: skip
    return [
        (
            f"buildah bud -f {recipe.dockerfile}",
            [
                *buildah, "bud", *again, "--isolation", "chroot", "--layers", "--format", "oci", "-t", "image",
                *limits, "-f", str(context / recipe.dockerfile), str(context),
            ],
        ),
        ("buildah push", [*buildah, "push", "-q", "image", f"oci:{staging / 'layout'}:image"]),
    ]  # fmt: skip
