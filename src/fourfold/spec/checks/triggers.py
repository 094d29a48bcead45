"""What the triggers of an app's services must not do to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fourfold.spec.model import Service
from fourfold.spec.yaml.node import Path


def queues_shared(services: Mapping[str, Service]) -> Iterator[tuple[Path, str, str]]:
    """Where, what, and what to do. Of two that read one queue each would take messages from the other."""
    readers: dict[tuple[str, str | None, str | None], str] = {}
    for name, service in services.items():
        for index, trigger in enumerate(service.triggers):
            if (s3 := trigger.s3) is None:
                continue
            queue = s3.queue.replace("/", ":").rpartition(":")[2]
            key = (queue, s3.endpoint, s3.region)
            if (other := readers.get(key)) is None:
                readers[key] = name
            else:
                path = ("services", name, "triggers", index, "s3", "queue")
                what = f"queue {queue} is read by a trigger of `{other}` already: each message reaches only one of them"
                yield path, what, "give each trigger a queue of its own, all notified through an SNS topic"
