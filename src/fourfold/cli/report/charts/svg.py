"""Elements of a picture, escaped."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

Attribute = str | float | None


def tag(name: str, content: Iterable[Markup] | str = (), /, **attributes: Attribute) -> Markup:
    """`class_` is written `class`, `stroke_width` `stroke-width`; what is None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = escape(content) if isinstance(content, str) else Markup("").join(content)
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


def text(x: float, y: float, content: str, class_: str | None = None, anchor: str | None = None) -> Markup:
    """`y` is where its line stands; `anchor` as in CSS: start, middle, end."""
    return tag("text", content, x=x, y=y, class_=class_, text_anchor=None if anchor == "start" else anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def polyline(points: Iterable[tuple[float, float]], class_: str, title: str | None = None) -> Markup:
    path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    return tag("polyline", [tag("title", title)] if title else (), points=path, class_=class_)


def group(content: Iterable[Markup], class_: str | None = None, title: str | None = None) -> Markup:
    """`title` is what a pointer over it shows, and what is read aloud."""
    return tag("g", [*([tag("title", title)] if title else []), *content], class_=class_)


def picture(width: float, height: float, content: Iterable[Markup], class_: str, label: str) -> Markup:
    """`label` says in words what it shows, for whoever does not see it."""
    return tag(
        "svg",
        content,
        class_=class_,
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )


def _value(value: str | float | None) -> str:
    return str(escape(value)) if isinstance(value, str) else _number(value or 0)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
