"""Well-known ready-made images: what they listen on, what their `command` is given to, what they keep. Pure.

From the images' own documentation on Docker Hub.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Known:
    """One image."""

    port: int
    http: bool = False
    entrypoint: str | None = None
    """What its `command` is passed to."""
    flags: str | None = None
    """The program that the entrypoint puts before a `command` that begins with `-`: none is said there."""
    data: str | None = None
    """A folder that Docker keeps for it without being told to (`VOLUME` of its Dockerfile), or one around that."""


_ENTRY = "docker-entrypoint.sh"
_POSTGRES = "/var/lib/postgresql"
"""In it `data` until version 17, and a folder for each version since."""
_IMAGES = {
    "postgres": Known(5432, entrypoint=_ENTRY, flags="postgres", data=_POSTGRES),
    "postgis": Known(5432, entrypoint=_ENTRY, flags="postgres", data=_POSTGRES),
    "pgvector": Known(5432, entrypoint=_ENTRY, flags="postgres", data=_POSTGRES),
    "timescaledb": Known(5432, entrypoint=_ENTRY, flags="postgres", data=_POSTGRES),
    "mysql": Known(3306, entrypoint=_ENTRY, flags="mysqld", data="/var/lib/mysql"),
    "mariadb": Known(3306, entrypoint=_ENTRY, flags="mariadbd", data="/var/lib/mysql"),
    "redis": Known(6379, entrypoint=_ENTRY, flags="redis-server", data="/data"),
    "valkey": Known(6379, entrypoint=_ENTRY, flags="valkey-server", data="/data"),
    "mongo": Known(27017, entrypoint=_ENTRY, flags="mongod", data="/data/db"),
    "memcached": Known(11211, entrypoint=_ENTRY, flags="memcached"),
    "rabbitmq": Known(5672, entrypoint=_ENTRY),
    "nats": Known(4222, entrypoint=_ENTRY, flags="nats-server"),
    "cassandra": Known(9042, entrypoint=_ENTRY, flags="cassandra", data="/var/lib/cassandra"),
    "zookeeper": Known(2181, entrypoint="/docker-entrypoint.sh"),
    "cp-zookeeper": Known(2181),
    "cp-kafka": Known(9092),
    "kafka": Known(9092),
    "mssql": Known(1433),
    "azure-sql-edge": Known(1433),
    "clickhouse-server": Known(8123, http=True, data="/var/lib/clickhouse"),
    "elasticsearch": Known(9200, http=True),
    "opensearch": Known(9200, http=True),
    "minio": Known(9000, http=True, entrypoint="/usr/bin/docker-entrypoint.sh"),
    "nginx": Known(80, http=True, entrypoint="/docker-entrypoint.sh"),
    "httpd": Known(80, http=True),
    "caddy": Known(80, http=True),
    "traefik": Known(80, http=True, entrypoint="/entrypoint.sh", flags="traefik"),
    "wordpress": Known(80, http=True, entrypoint=_ENTRY, data="/var/www/html"),
    "nextcloud": Known(80, http=True, entrypoint="/entrypoint.sh", data="/var/www/html"),
    "adminer": Known(8080, http=True, entrypoint="entrypoint.sh"),
    "phpmyadmin": Known(80, http=True),
    "pgadmin4": Known(80, http=True),
    "grafana": Known(3000, http=True),
    "prometheus": Known(9090, http=True, entrypoint="/bin/prometheus", data="/prometheus"),
    "mailhog": Known(8025, http=True),
    "maildev": Known(1080, http=True),
}


def known(reference: str) -> Known | None:
    """`docker.io/library/postgres:16-alpine` -> what is known of postgres."""
    name, _, tag = reference.rpartition("/")[2].partition("@")[0].partition(":")
    if name == "server" and "/mssql/" in reference:
        name = "mssql"
    image = _IMAGES.get(name)
    if "fpm" in tag.split("-") and (image or name == "php"):
        return replace(image or Known(9000), port=9000, http=False)  # FastCGI, for a web server in front
    return image
