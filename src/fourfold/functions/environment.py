"""What a sandbox's program finds in its environment. Pure.

Which names there are: Lambda developer guide, "Defined runtime environment variables". Credentials are not ours to
give: they are there when the function's own variables have them.
"""

from __future__ import annotations

from collections.abc import Mapping

from fourfold.functions.model import LAYERS, PREFIX, RUNTIME, RUNTIME_API, TASK, Config

MIB = 1024 * 1024
RUNTIMES = {"python": "AWS_Lambda_python", "nodejs": "AWS_Lambda_nodejs", "java": "AWS_Lambda_java"}
LIBRARIES = f"{TASK}:{TASK}/lib:{LAYERS}/lib:{RUNTIME}/lib"
"""Besides the system's own, which are found anyway: each folder costs every program that starts."""
PATH = f"/usr/local/bin:/usr/bin:/bin:{LAYERS}/bin"


def own(environ: Mapping[str, str]) -> dict[str, str]:
    """The function's own variables, from the invoker's environment."""
    return {name[len(PREFIX) :]: value for name, value in environ.items() if name.startswith(PREFIX)}


def of_sandboxes(config: Config, variables: Mapping[str, str], day: str, site: str = "") -> dict[str, str]:
    """What they have. A function may say what PATH or TZ is, but not what AWS reserves.

    `day`: 2026/11/25, for the name of the log stream, which the sandboxes of an invoker share as they do its log.
    `site`: where the code's own packages are, below its folder: `.venv/lib/python3.11/site-packages`.
    """
    name = config.function_name
    free = {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "HOME": "/tmp",
        "LD_LIBRARY_PATH": LIBRARIES,
        "NODE_PATH": f"{LAYERS}/nodejs/node_modules:{RUNTIME}/node_modules" if config.kind == "nodejs" else "",
        "PYTHONPATH": python_path(site, variables.get("PYTHONPATH", "")) if config.kind == "python" else "",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "AWS_REGION": config.region,
        "AWS_DEFAULT_REGION": config.region,
    }
    reserved = {
        "_HANDLER": config.handler,
        "LAMBDA_TASK_ROOT": TASK,
        "LAMBDA_RUNTIME_DIR": RUNTIME,
        "AWS_EXECUTION_ENV": execution_env(config),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": config.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(max(1, config.memory // MIB)),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{day}/[{config.version}]{config.instance}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency" if config.provisioned else "on-demand",
        "AWS_LAMBDA_RUNTIME_API": config.machine.api if config.machine is not None else RUNTIME_API,
    }
    if config.kind == "python":
        reserved["PYTHONPATH"] = free["PYTHONPATH"]
    return {key: value for key, value in (free | dict(variables) | reserved).items() if value or key in variables}


def execution_env(config: Config) -> str:
    """`AWS_Lambda_python3.11`; without a version where the interpreter's name has none."""
    if (name := RUNTIMES.get(config.kind)) is None:
        return ""
    interpreter = config.argv[0].rpartition("/")[2] if config.argv else ""
    version = interpreter.removeprefix("python") if config.kind == "python" else ""
    return name + version if version.replace(".", "").isdigit() else name


def python_path(site: str, own_path: str) -> str:
    """Code before its packages, layers after both, our copy of the runtime's client last: any other wins."""
    packages = f"{TASK}/{site}" if site else ""
    return ":".join(each for each in (own_path, TASK, packages, f"{LAYERS}/python", RUNTIME) if each)
