"""Who a container runs as."""

from __future__ import annotations

import pytest

from fourfold.errors import UserError
from fourfold.launch.accounts import account, named
from fourfold.launch.model import User

PASSWD = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:101:102:web:/var/www:/bin/sh\nhomeless:x:7:7:::\nx:x:no:1:::\n"
GROUP = "root:x:0:\nweb:x:102:\nlogs:x:4:syslog,web\nshadow:x:42:root\n"


@pytest.mark.parametrize(
    ("who", "uid", "gid", "name", "home", "groups"),
    [
        ("0", 0, 0, "root", "/root", (42,)),
        ("root", 0, 0, "root", "/root", (42,)),
        ("web", 101, 102, "web", "/var/www", (4,)),
        ("101", 101, 102, "web", "/var/www", (4,)),
        ("web:logs", 101, 4, "web", "/var/www", ()),
        ("web:1000", 101, 1000, "web", "/var/www", ()),
        ("1000", 1000, 0, "user1000", "/", ()),
        ("1000:1000", 1000, 1000, "user1000", "/", ()),
        ("homeless", 7, 7, "homeless", "/", ()),
    ],
)
def test_account(who: str, uid: int, gid: int, name: str, home: str, groups: tuple[int, ...]) -> None:
    found = account(who, PASSWD, GROUP)
    assert (found.user, found.groups) == (User(uid, gid, name, home), groups)


@pytest.mark.parametrize(
    ("who", "said"), [("nginx", "no user 'nginx'"), ("²", "no user"), ("web:nginx", "no group 'nginx'")]
)
def test_nobody_knows_them(who: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        account(who, PASSWD, GROUP)


def test_the_files_know_the_user() -> None:
    user = User(799, 799, "catalog", "/tmp")
    passwd, group = named(user, "root:x:0:0:root:/root:/bin/sh", "")
    assert passwd == "root:x:0:0:root:/root:/bin/sh\ncatalog:x:799:799::/tmp:/bin/sh\n"
    assert group == "catalog:x:799:\n"
    assert named(user, passwd, group) == (passwd, group)
