"""All commands and what each does, in the order of the help page.

A static table, so that `fourfold --help` imports none of them; a test checks that it agrees with the commands.
"""

from __future__ import annotations

SECTIONS: dict[str, dict[str, str]] = {
    "Describe": {
        "init": "Write a commented fourfold.yaml from what is in this folder.",
        "validate": "Check the service file; list everything that is wrong with it.",
        "config": "Print the service file after overlays, defaults and variables.",
        "schema": "Print the JSON Schema of the service file, or the API's OpenAPI document.",
    },
    "Deploy": {
        "plan": "Show what `up` would do, and why. Changes nothing.",
        "up": "Bring the app to what its file says.",
        "deploy": "Like `up`, for some services only.",
        "build": "Build a service without deploying it; with --format, make an image of it.",
        "rollback": "Deploy an old release of a service again.",
        "scale": "Set how many instances services have.",
        "restart": "Replace instances by new ones of the same release.",
        "stop": "Drain and stop services; `up` or `restart` starts them again.",
        "cancel": "End a change that waits for another one or builds.",
        "down": "Stop the app and forget it; keeps volumes, secrets and history.",
        "maintenance": "Answer a page in place of services while they are worked on.",
        "certificate": "Show the certificate that the gateway serves, or renew it.",
        "secrets": "Set, list, import and remove secrets.",
    },
    "Decide": {
        "compare": "Run a service under every pattern, beside the live one, and measure each.",
        "cost": "Show what services cost in a month, as they run and under all other patterns.",
        "advise": "Say which pattern fits each service, why, and what would change that.",
    },
    "Look": {
        "status": "Show every service, its instances and where to reach it.",
        "explain": "Say why a service is not well, and what to do.",
        "logs": "Print what services wrote, the gateway's access log included.",
        "events": "Print what happened; list and replay events that failed.",
        "notify": "Show where the app's events are sent to (`notify` in its file), and whether they are taken.",
        "history": "List releases, and runs of a job: who, when, how it went.",
        "top": "Show what every instance takes now.",
        "apps": "List the apps that this daemon runs.",
    },
    "Work inside": {
        "exec": "Run a program inside a running instance.",
        "run": "Run a job, or a one-off program beside a service.",
        "invoke": "Give a service one event, and print its answer.",
    },
    "Machine": {
        "daemon": "Run the daemon; install, stop, restart or ask for it.",
        "doctor": "Check what works on this machine and what to do about the rest.",
        "tokens": "Make, list and remove tokens of the API over the network.",
        "backup": "Write a backup of all apps, while they go on.",
        "restore": "Make an empty home of a backup, and bring everything up again.",
        "gc": "Remove builds, sources and logs that nothing needs any more.",
        "version": "Print the versions of this command, of the daemon and of the spawner.",
    },
}

COMMANDS: dict[str, str] = {name: text for section in SECTIONS.values() for name, text in section.items()}

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "add": ("set", "create"),
    "apply": ("up",),
    "delete": ("rm", "down"),
    "describe": ("explain",),
    "destroy": ("down",),
    "diff": ("plan",),
    "inspect": ("explain",),
    "list": ("apps",),
    "ls": ("list", "apps"),
    "new": ("init", "create"),
    "ps": ("status",),
    "remove": ("rm", "down"),
    "rm": ("down",),
    "shell": ("exec",),
    "ssh": ("exec",),
    "stats": ("top",),
    "undo": ("rollback",),
    "unset": ("rm",),
}
"""What other tools call it -> what it may be here, as commands and as commands of a command."""
