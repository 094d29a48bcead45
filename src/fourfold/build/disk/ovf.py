"""The OVF package of one disk: its description, its manifest, and the tar of all three (OVA). Pure but for the disk.

DMTF DSP0243 1.1.0 and its schemas DSP8023 (envelope) and CIM_ResourceAllocationSettingData, whose elements stand in
alphabetical order. The hardware is what VirtualBox, VMware and others all import: IDE (PIIX4) and E1000.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from fourfold.build.oci.pack import TIME
from fourfold.errors import UserError

_PROCESSOR, _MEMORY, _IDE, _NETWORK, _DISK = 3, 4, 5, 10, 17
"""CIM_ResourceAllocationSettingData.ResourceType."""
_MIB = 1024 * 1024
_CHUNK = 1024 * 1024
_MOST = 8**11 - 1
"""Bytes of a member as USTAR can say them; DSP0243 takes no other tar."""

_ENVELOPE = """\
<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xml:lang="en-US"
    xmlns="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
    xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>
    <File ovf:id="file1" ovf:href={disk} ovf:size="{file_size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="{disk_size}"
        ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>Networks</Info>
    <Network ovf:name="network">
      <Description>Where the service is reached; it asks for its address by DHCP</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id={name}>
    <Info>A virtual machine</Info>
    <Name>{title}</Name>
    <OperatingSystemSection ovf:id="101">
      <Info>Linux, 64 bits</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{title}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-10 virtualbox-2.2</vssd:VirtualSystemType>
      </System>
{items}    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""
"""Operating system 101 is any 64-bit Linux (CIM_OperatingSystem.OsType)."""


@dataclass(frozen=True)
class Appliance:
    name: str
    """Of the virtual machine and, with endings, of the files."""
    memory: int
    """Bytes."""
    cpus: int
    disk_size: int
    """Bytes that the machine sees."""
    file_size: int
    """Bytes of the VMDK."""

    @property
    def disk(self) -> str:
        return f"{self.name}-disk1.vmdk"


def descriptor(appliance: Appliance) -> bytes:
    items = "".join(_item(fields) for fields in _items(appliance))
    text = _ENVELOPE.format(
        name=quoteattr(appliance.name),
        title=escape(appliance.name),
        disk=quoteattr(appliance.disk),
        file_size=appliance.file_size,
        disk_size=appliance.disk_size,
        items=indent(items, " " * 6),
    )
    return text.encode()


def _items(appliance: Appliance) -> Iterable[dict[str, object]]:
    """Each in alphabetical order."""
    memory = -(-appliance.memory // _MIB)
    yield {
        "AllocationUnits": "hertz * 10^6",
        "ElementName": f"{appliance.cpus} virtual CPU(s)",
        "InstanceID": 1,
        "ResourceType": _PROCESSOR,
        "VirtualQuantity": appliance.cpus,
    }
    yield {
        "AllocationUnits": "byte * 2^20",
        "ElementName": f"{memory} MiB of memory",
        "InstanceID": 2,
        "ResourceType": _MEMORY,
        "VirtualQuantity": memory,
    }
    yield {
        "Address": 0,
        "ElementName": "IDE controller",
        "InstanceID": 3,
        "ResourceSubType": "PIIX4",
        "ResourceType": _IDE,
    }
    yield {
        "AddressOnParent": 0,
        "ElementName": "Disk 1",
        "HostResource": "ovf:/disk/vmdisk1",
        "InstanceID": 4,
        "Parent": 3,
        "ResourceType": _DISK,
    }
    yield {
        "AutomaticAllocation": "true",
        "Connection": "network",
        "ElementName": "Network adapter 1",
        "InstanceID": 5,
        "ResourceSubType": "E1000",
        "ResourceType": _NETWORK,
    }


def _item(fields: dict[str, object]) -> str:
    lines = (f"  <rasd:{name}>{escape(str(value))}</rasd:{name}>\n" for name, value in fields.items())
    return f"<Item>\n{''.join(lines)}</Item>\n"


def manifest(digests: dict[str, str]) -> bytes:
    """File -> SHA-256 in hex."""
    return "".join(f"SHA256({name})= {digest}\n" for name, digest in digests.items()).encode()


def write_package(appliance: Appliance, vmdk: Path, out: IO[bytes]) -> None:
    """The OVA: description, manifest, disk. `vmdk` has `appliance.file_size` bytes. Raises UserError for too many."""
    if appliance.file_size > _MOST:
        raise UserError(
            f"cannot make an OVA: its disk has {appliance.file_size:,} bytes, and a file in it at most {_MOST:,}",
            "take another format, such as --format vmdk",
        )
    described = descriptor(appliance)
    name = f"{appliance.name}.ovf"
    with vmdk.open("rb") as disk:
        digests = {
            name: hashlib.sha256(described).hexdigest(),
            appliance.disk: hashlib.file_digest(disk, "sha256").hexdigest(),
        }
        _member(out, name, [described], len(described))
        listed = manifest(digests)
        _member(out, f"{appliance.name}.mf", [listed], len(listed))
        disk.seek(0)
        _member(out, appliance.disk, _pieces(disk), appliance.file_size)
    out.write(bytes(2 * tarfile.BLOCKSIZE))


def _member(out: IO[bytes], name: str, content: Iterable[bytes], size: int) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime, info.size = 0o644, TIME, size
    out.write(info.tobuf(tarfile.USTAR_FORMAT))
    out.writelines(content)
    out.write(bytes(-size % tarfile.BLOCKSIZE))


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece
