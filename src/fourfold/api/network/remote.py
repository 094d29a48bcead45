"""What is refused of an `up`, a `plan` or a build that came over the network, before anything looks at it.

Whoever sends it is on another machine: its paths are not places of this one. And a Dockerfile is built as root.
"""

from __future__ import annotations

from fourfold.api.network.rights import allows
from fourfold.control.deploying.checks import chosen, read_app
from fourfold.control.deploying.places import afar, refuse_places
from fourfold.control.groups.groups import spec_of
from fourfold.control.views import UpRequest
from fourfold.errors import ForbiddenError
from fourfold.store.tables.tokens import AccessRole


def sent(request: UpRequest, token: str, role: AccessRole, bound: bool) -> UpRequest:
    """With its file as one of the token's holder. `bound`: the token is for one app.

    Raises UserError, and ForbiddenError for what takes another token.
    """
    app = read_app(request.spec)
    for name in chosen(app, request.services):
        spec = spec_of(app, name)
        refuse_places(name, spec)
        if spec.container.dockerfile is not None and (bound or not allows(role, "admin")):
            raise ForbiddenError(
                f"cannot build {name} with {spec.container.dockerfile}: as root of this machine, which takes a token "
                f"of role admin for all apps, and {token} is not one",
                "leave `container.dockerfile` out and name a base, let an admin bring it up, or go through ssh: "
                "-H ssh://HOST",
            )
    return request.model_copy(update={"file": afar(token, request.file)})
