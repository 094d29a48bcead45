"""An OVF package, read as importers do. What DSP8023's schemas demand is said here, as they cannot be shipped."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from fourfold.build.disk import ovf
from fourfold.errors import UserError

NAMES = {
    "o": "http://schemas.dmtf.org/ovf/envelope/1",
    "rasd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData",
    "vssd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData",
}
WEB = ovf.Appliance("shop-web", 300 * 1024**2 + 1, 2, 58 * 1024**2, 5000)


def parsed() -> Element:
    return ElementTree.fromstring(ovf.descriptor(WEB))


def attribute(element: Element | None, name: str) -> str | None:
    assert element is not None
    return element.get(f"{{{NAMES['o']}}}{name}")


def items() -> dict[str, dict[str, str]]:
    """ResourceType -> fields."""
    found = {}
    for item in parsed().iterfind(".//o:Item", NAMES):
        fields = {field.tag.rpartition("}")[2]: field.text or "" for field in item}
        assert all(field.tag.startswith(f"{{{NAMES['rasd']}}}") for field in item)
        assert list(fields) == sorted(fields), "the schema is a sequence"
        assert {"ElementName", "InstanceID", "ResourceType"} <= fields.keys()
        found[fields["ResourceType"]] = fields
    assert len({fields["InstanceID"] for fields in found.values()}) == len(found)
    return found


def test_sections_in_the_order_of_the_schema() -> None:
    envelope = parsed()
    assert [child.tag.rpartition("}")[2] for child in envelope] == [
        "References", "DiskSection", "NetworkSection", "VirtualSystem",
    ]  # fmt: skip
    system = envelope.find("o:VirtualSystem", NAMES)
    assert system is not None and attribute(system, "id") == "shop-web"
    assert [child.tag.rpartition("}")[2] for child in system] == [
        "Info", "Name", "OperatingSystemSection", "VirtualHardwareSection",
    ]  # fmt: skip
    for section in envelope.iter():
        if section.tag.endswith("Section"):
            assert section[0].tag == f"{{{NAMES['o']}}}Info" and section[0].text
    settings = envelope.find(".//o:System", NAMES)
    assert settings is not None
    fields = [field.tag.rpartition("}")[2] for field in settings]
    assert fields == sorted(fields) and "VirtualSystemType" in fields


def test_what_refers_to_what() -> None:
    envelope, hardware = parsed(), items()
    file, disk = envelope.find(".//o:File", NAMES), envelope.find(".//o:Disk", NAMES)
    assert attribute(file, "href") == "shop-web-disk1.vmdk" and attribute(file, "size") == "5000"
    assert attribute(disk, "fileRef") == attribute(file, "id") and attribute(disk, "capacity") == str(58 * 1024**2)
    assert (attribute(disk, "format") or "").endswith("vmdk.html#streamOptimized")
    assert hardware["17"]["HostResource"] == f"ovf:/disk/{attribute(disk, 'diskId')}"
    assert hardware["17"]["Parent"] == hardware["5"]["InstanceID"]
    assert hardware["10"]["Connection"] == attribute(envelope.find(".//o:Network", NAMES), "name")
    assert hardware["3"]["VirtualQuantity"] == "2"
    assert hardware["4"]["VirtualQuantity"] == "301", "never less than was asked for"


def test_the_package(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"d" * 5000)
    out = io.BytesIO()
    ovf.write_package(WEB, tmp_path / "disk", out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as package:
        members = package.getmembers()
        content = {each.name: file.read() for each in members if (file := package.extractfile(each))}
    assert list(content) == ["shop-web.ovf", "shop-web.mf", "shop-web-disk1.vmdk"], "DSP0243, 5.3"
    assert content["shop-web.ovf"] == ovf.descriptor(WEB)
    assert all(each.type == tarfile.REGTYPE and not each.pax_headers for each in members), "ustar"
    listed = dict(re.findall(r"^SHA256\((.+)\)= ([0-9a-f]{64})$", content["shop-web.mf"].decode(), re.MULTILINE))
    del content["shop-web.mf"]
    assert listed == {name: hashlib.sha256(each).hexdigest() for name, each in content.items()}


def test_a_disk_that_its_tar_cannot_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").touch()
    os.truncate(tmp_path / "disk", 8 * 1024**3)
    out = io.BytesIO()
    with pytest.raises(UserError, match="at most 8,589,934,591"):
        ovf.write_package(replace(WEB, file_size=8 * 1024**3), tmp_path / "disk", out)
    assert out.getvalue() == b""
