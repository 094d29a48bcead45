"""A network of its own for the program to be: a namespace with `lo` and `eth0`, the latter on a bridge of the host; or
for a virtual machine, a tap on that bridge.

Spoken directly to the kernel (rtnetlink(7), veth(4)): commands or plugins would cost a process each. The pair dies with
the namespace, and that with its last process, so there is nothing to clean up; a tap dies with its descriptor. Ports
of the bridge are isolated: their frames reach the host and no other port. Nor does the host learn from them who is
where: hardware addresses follow from IPv4 addresses, so it is told, and who says to be another (a guest may send what
it likes) gets nothing of what is the other's. Numbers are from the kernel's uapi headers: linux/netlink.h,
linux/rtnetlink.h, linux/neighbour.h, linux/if_link.h, linux/if_addr.h, linux/veth.h, linux/if.h, linux/if_tun.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from hashlib import blake2s
from ipaddress import IPv4Interface, ip_address

from fourfold.spawner import kernel
from fourfold.spawner.request import Bridge, Failed

INSIDE = "eth0"

_NLMSG_ERROR, _NLMSG_ALIGN = 2, 4
_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400  # NLM_F_…
_RTM_NEWLINK, _RTM_NEWADDR, _RTM_NEWROUTE, _RTM_NEWNEIGH = 16, 20, 24, 28
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_PID = 1, 3, 4, 10, 18, 19
_IFLA_IFALIAS = 20
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER, _NLA_F_NESTED = 1, 2, 1, 0x8000
_IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 4, 5
_IFLA_BRPORT_LEARNING, _IFLA_BRPORT_UNICAST_FLOOD, _IFLA_BRPORT_ISOLATED = 8, 9, 33
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RTA_OIF, _RTA_GATEWAY = 4, 5
_NDA_DST, _NDA_LLADDR, _NTF_MASTER, _NUD_NOARP, _NUD_PERMANENT = 1, 2, 0x04, 0x40, 0x80
_RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 3, 0, 1
_IFF_UP = 0x1
_SIOCGIFFLAGS, _SIOCGIFADDR, _SIOCGIFMTU, _SIOCGIFINDEX = 0x8913, 0x8915, 0x8921, 0x8933
_TUN, _TUNSETIFF, _IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = "/dev/net/tun", 0x400454CA, 0x2, 0x1000, 0x4000

_SYSCTLS = {"ip_unprivileged_port_start": "0", "ping_group_range": "0 2147483647"}
"""In a network of its own a program may use every port and ping, without capabilities: as Docker has it."""


def port_name(marker: str) -> str:
    """Of the host's end: 14 of the 15 bytes that there are. `marker` belongs to one start on this machine alone."""
    return f"ff{blake2s(marker.encode(), digest_size=6).hexdigest()}"


def hardware_address(ip: str) -> bytes:
    """Of its interface. Made of its IPv4 address, as Docker's: no neighbour has an old one for the same IP in mind."""
    return b"\x02\x42" + ip_address(ip).packed


def connect(bridge: Bridge, veth: str) -> None:
    """Leave the host's network for a new one on `bridge`. Failed: no such bridge, name or memory; not root."""
    what = bridge.name
    try:
        with _open() as host:
            index, size = socket.if_nametoindex(bridge.name), mtu(bridge.name)
            what = f"{bridge.name}: no network namespace"
            kernel.unshare(kernel.CLONE_NEWNET)
            what = f"{bridge.name}: no interface {veth}"
            _plug(host, bridge, index, size, veth, os.getpid())
    except OSError as error:
        raise Failed("network", error.errno or errno.ENODEV, what) from error  # of if_nametoindex there is none
    except ValueError as error:
        raise Failed("network", errno.EINVAL, str(error)) from error
    configure(bridge)


def plug(bridge: Bridge, veth: str, pid: int) -> None:
    """In the host's network: give the network namespace of a process its end of a new pair. Failed: as `connect`."""
    try:
        with _open() as host:
            _plug(host, bridge, socket.if_nametoindex(bridge.name), mtu(bridge.name), veth, pid)
    except OSError as error:
        what = f"{bridge.name}: no interface {veth}"
        raise Failed("network", error.errno or errno.ENODEV, what) from error
    except ValueError as error:
        raise Failed("network", errno.EINVAL, str(error)) from error


def configure(bridge: Bridge) -> None:
    """In the network namespace that was plugged in: all up, with address and route. Failed."""
    what = f"{bridge.name}: address {bridge.address} with gateway {bridge.gateway}"
    try:
        address = IPv4Interface(bridge.address)
        with _open() as own:
            inside = socket.if_nametoindex(INSIDE)
            for index in (socket.if_nametoindex("lo"), inside):
                _request(own, _RTM_NEWLINK, 0, _link(index, _IFF_UP))
            _request(own, _RTM_NEWADDR, _EXCL | _CREATE, _address(inside, address))
            _request(own, _RTM_NEWROUTE, _EXCL | _CREATE, _default_route(inside, bridge.gateway))
        what = f"{bridge.name}: /proc/sys/net/ipv4"
        for name, value in _SYSCTLS.items():
            with open(f"/proc/sys/net/ipv4/{name}", "w") as file:
                file.write(value)
    except OSError as error:
        raise Failed("network", error.errno or errno.ENODEV, what) from error
    except ValueError as error:
        raise Failed("network", errno.EINVAL, str(error)) from error


def _plug(host: socket.socket, bridge: Bridge, index: int, size: int, veth: str, pid: int) -> None:
    address = IPv4Interface(bridge.address)
    hardware = hardware_address(str(address.ip))
    _request(host, _RTM_NEWLINK, _EXCL | _CREATE, _pair(veth, index, size, hardware, pid))
    _request(host, _RTM_NEWLINK, 0, _isolated(veth, bridge))
    _settle(host, index, _index(host, veth), address)


def tap(bridge: Bridge, name: str) -> int:
    """-> a descriptor of an interface on `bridge`, which is there as long as that is open. Failed: as `connect`."""
    what = f"{bridge.name}: {_TUN}"
    fd = -1
    try:
        fd = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        what = f"{bridge.name}: no interface {name}"
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        what = bridge.name
        index, size = socket.if_nametoindex(bridge.name), mtu(bridge.name)
        with _open() as host:
            port = socket.if_nametoindex(name)
            to_bridge = (_number(_IFLA_MTU, size), _number(_IFLA_MASTER, index))
            _request(host, _RTM_NEWLINK, 0, b"".join((_link(port, 0), *to_bridge)))
            _request(host, _RTM_NEWLINK, 0, _isolated(name, bridge))
            _request(host, _RTM_NEWLINK, 0, _link(port, _IFF_UP))
            _settle(host, index, port, IPv4Interface(bridge.address))
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        raise Failed("network", error.errno or errno.ENODEV, what) from error
    return fd


def plug_again(bridge: Bridge, port: str) -> None:
    """Put an interface on a bridge that was made anew or went down; `bridge` as the alias has it. OSError."""
    with _open() as host:
        index, number = socket.if_nametoindex(bridge.name), socket.if_nametoindex(port)
        _request(host, _RTM_NEWLINK, 0, _link(number, 0) + _number(_IFLA_MASTER, index))
        _request(host, _RTM_NEWLINK, 0, _isolated(port, bridge))
        _settle(host, index, number, IPv4Interface(bridge.address))


def _isolated(port: str, bridge: Bridge) -> bytes:
    """What makes an interface exchange frames with its bridge alone, and not with other such ports of it, which learns
    nothing from them, and sends there only what is for who is known to be there. Its alias says where it belongs."""
    told = ((_IFLA_BRPORT_ISOLATED, b"\1"), (_IFLA_BRPORT_LEARNING, b"\0"), (_IFLA_BRPORT_UNICAST_FLOOD, b"\0"))
    info = (
        _attribute(_IFLA_INFO_SLAVE_KIND, b"bridge"),
        _attribute(_IFLA_INFO_SLAVE_DATA | _NLA_F_NESTED, *(_attribute(*each) for each in told)),
    )
    named = _attribute(_IFLA_IFNAME, port.encode() + b"\0")
    alias = _attribute(_IFLA_IFALIAS, f"{bridge.name} {bridge.address}".encode())
    return b"".join((_link(0, 0), named, alias, _attribute(_IFLA_LINKINFO | _NLA_F_NESTED, *info)))


def _settle(host: socket.socket, bridge: int, port: int, address: IPv4Interface) -> None:
    """Tell the host who is behind a port, for good: no frame and no ARP of another's changes it.

    What is known of the address stays when the port goes, and is as true of the next one that has it.
    """
    hardware = _attribute(_NDA_LLADDR, hardware_address(str(address.ip)))
    frames = _neighbour(socket.AF_BRIDGE, port, _NUD_NOARP, _NTF_MASTER)
    packets = _neighbour(socket.AF_INET, bridge, _NUD_PERMANENT, 0)
    _request(host, _RTM_NEWNEIGH, _CREATE | _REPLACE, frames + hardware)
    _request(host, _RTM_NEWNEIGH, _CREATE | _REPLACE, packets + _attribute(_NDA_DST, address.ip.packed) + hardware)


def _neighbour(family: int, index: int, state: int, flags: int) -> bytes:
    """`struct ndmsg`."""
    return struct.pack("=BxxxiHBB", family, index, state, flags, 0)


def _open() -> socket.socket:
    """Stays in the network namespace that it was opened in."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)


def mtu(name: str) -> int:
    """Of an interface, in bytes (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFMTU, struct.pack("16si20x", name.encode(), 0))
    return int(struct.unpack_from("i", answer, 16)[0])


def is_up(name: str, address: str) -> bool:
    """Whether an interface is up and has this IPv4 address (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            has = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("16s24x", name.encode()))
            flags = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16s24x", name.encode()))
        except OSError:  # it has none, or is not there
            return False
    return socket.inet_ntoa(has[20:24]) == address and bool(struct.unpack_from("H", flags, 16)[0] & _IFF_UP)


def _index(sock: socket.socket, name: str) -> int:
    """Of an interface in the network namespace that `sock` is of (netdevice(7))."""
    answer = fcntl.ioctl(sock, _SIOCGIFINDEX, struct.pack("16si20x", name.encode(), 0))
    return int(struct.unpack_from("i", answer, 16)[0])


def _request(sock: socket.socket, kind: int, flags: int, body: bytes) -> None:
    """One message and its acknowledgement: `struct nlmsghdr`, then `struct nlmsgerr`, whose error is 0 or -errno."""
    sock.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, 1, 0) + body)
    answer = sock.recv(65536)
    if struct.unpack_from("=IH", answer)[1] != _NLMSG_ERROR:
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
    if code := -struct.unpack_from("=i", answer, 16)[0]:
        raise OSError(code, os.strerror(code))


def _attribute(kind: int, *parts: bytes) -> bytes:
    """`struct rtattr`, padded; with other attributes as its parts it is a nest."""
    payload = b"".join(parts)
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % _NLMSG_ALIGN)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _link(index: int, flags: int) -> bytes:
    """`struct ifinfomsg`; index 0 is a new one."""
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def _pair(veth: str, bridge: int, mtu: int, hardware: bytes, pid: int) -> bytes:
    """The host's end, up and on the bridge, and its peer in the network namespace of `pid`, in one message.

    The peer is made first and cannot be up before it has a peer of its own.
    """
    peer = (
        _link(0, 0),
        _attribute(_IFLA_ADDRESS, hardware),
        _attribute(_IFLA_IFNAME, INSIDE.encode() + b"\0"),
        _number(_IFLA_MTU, mtu),
        _number(_IFLA_NET_NS_PID, pid),
    )
    info = (
        _attribute(_IFLA_INFO_KIND, b"veth"),
        _attribute(_IFLA_INFO_DATA | _NLA_F_NESTED, _attribute(_VETH_INFO_PEER | _NLA_F_NESTED, *peer)),
    )
    return b"".join(
        (
            _link(0, _IFF_UP),
            _attribute(_IFLA_IFNAME, veth.encode() + b"\0"),
            _number(_IFLA_MTU, mtu),
            _number(_IFLA_MASTER, bridge),
            _attribute(_IFLA_LINKINFO | _NLA_F_NESTED, *info),
        )
    )


def _address(index: int, address: IPv4Interface) -> bytes:
    """`struct ifaddrmsg`."""
    packed = address.ip.packed
    return b"".join(
        (
            struct.pack("=BBBBI", socket.AF_INET, address.network.prefixlen, 0, _RT_SCOPE_UNIVERSE, index),
            _attribute(_IFA_LOCAL, packed),
            _attribute(_IFA_ADDRESS, packed),
            _attribute(_IFA_BROADCAST, address.network.broadcast_address.packed),
        )
    )


def _default_route(index: int, gateway: str) -> bytes:
    """`struct rtmsg`: no destination, that is, all of them."""
    scope = (_RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST)
    return b"".join(
        (
            struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, *scope, 0),
            _attribute(_RTA_GATEWAY, ip_address(gateway).packed),
            _number(_RTA_OIF, index),
        )
    )
