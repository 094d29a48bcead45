"""Keys of a Compose service that have no counterpart here, and why. Pure.

Names and meanings: the Compose specification, "Services top-level element".
"""

from __future__ import annotations

_RIGHTS = "containers have no more rights here than programs need"
_NETWORK = "all services of an app reach each other by name; other names and addresses are not given"
_LOGS = "logs are kept, bounded and rotated here: `fourfold logs`"
_NAMES = "instances have names of their own; the service is called by its name"
_SOON = "use `resources`, which bounds each instance"
_USER = "a built service runs as a user of its own, an image as the user that it names"

WHY = {
    "annotations": "nothing reads them here",
    "attach": _LOGS,
    "blkio_config": "`resources: {io: {read: 50MB/s, write: 20MB/s}}` bounds disk traffic",
    "cap_add": _RIGHTS,
    "cap_drop": "they are dropped already, but for the few of an ordinary container",
    "cgroup": "each instance has a control group of its own",
    "cgroup_parent": "each instance has a control group of its own",
    "configs": "files that are not part of a source: put them into it, or use a secret with `file`",
    "container_name": _NAMES,
    "cpu_count": _SOON,
    "cpu_percent": _SOON,
    "cpu_period": _SOON,
    "cpu_quota": _SOON,
    "cpu_rt_period": _RIGHTS,
    "cpu_rt_runtime": _RIGHTS,
    "cpu_shares": _SOON,
    "cpuset": _SOON,
    "credential_spec": "it is for Windows",
    "develop": "`fourfold up` sends what has changed",
    "device_cgroup_rules": _RIGHTS,
    "devices": _RIGHTS,
    "dns": "names are resolved as on this host",
    "dns_opt": "names are resolved as on this host",
    "dns_search": "names are resolved as on this host",
    "domainname": _NAMES,
    "external_links": "it belongs to another app: write it to `externals`, which gives <NAME>_URL",
    "extra_hosts": "write them to /etc/hosts of this host, which instances see",
    "gpus": _RIGHTS,
    "group_add": _USER,
    "hostname": _NAMES,
    "ipc": "each instance has its own",
    "isolation": "it is for Windows",
    "label_file": "labels mean nothing here",
    "labels": "labels mean nothing here: say routes in `route`",
    "logging": _LOGS,
    "mac_address": "addresses are given by Fourfold",
    "mem_reservation": "nothing is reserved here; `resources: {memory: …}` is the bound",
    "mem_swappiness": _SOON,
    "memswap_limit": _SOON,
    "models": "a model is a service of its own, or one of `externals`",
    "network_mode": "an instance has a network of its own; `container: {network: host}` shares the host's",
    "networks": _NETWORK,
    "oom_kill_disable": "an instance beyond `resources: {memory: …}` is killed, alone",
    "oom_score_adj": "an instance beyond `resources: {memory: …}` is killed, alone",
    "pid": "each instance sees its own processes only",
    "platform": "an image for this host's processor is taken",
    "post_start": "start it from `run`",
    "pre_stop": "let the program do it when it gets its stop signal",
    "privileged": _RIGHTS,
    "provider": "it is an extension of Docker Compose",
    "pull_policy": "a tag is looked up once; `fourfold up --rebuild` looks again",
    "runtime": "`container: {runtime: runsc}` is gVisor",
    "security_opt": _RIGHTS,
    "shm_size": "/dev/shm has a size of its own here",
    "stdin_open": "`fourfold exec SERVICE -- sh` is for terminals",
    "storage_opt": "an instance's own files are in memory: volumes are on the disk",
    "sysctls": _RIGHTS,
    "tmpfs": "/tmp and /run can be written, and are in memory",
    "tty": "`fourfold exec SERVICE -- sh` is for terminals",
    "ulimits": "limits are those of this host; `resources: {pids: …}` bounds processes",
    "use_api_socket": _RIGHTS,
    "user": _USER,
    "userns_mode": "user namespaces are not mapped here",
    "uts": "each instance has its own",
    "volumes_from": "volumes belong to one service each",
    "working_dir": "a built service starts in /app, an image where it says",
}
DEPLOY = {
    "endpoint_mode": "the gateway spreads requests over instances",
    "labels": "labels mean nothing here",
    "placement": "all instances run on this machine",
    "restart_policy": "`restart` says when an instance is started again",
    "rollback_config": "a failed deployment goes back by itself: `deploy: {rollback: auto}`",
    "update_config": "new instances come before old ones go: `deploy: {max_surge: 1, max_unavailable: 0}`",
    "mode": "say how many in `instances`",
}
UNKNOWN = "no key of Compose that is known here"
