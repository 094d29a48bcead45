#include "interface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ifreq about(const char *name)
{
    struct ifreq request = {0};

    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    return request;
}

static int control(unsigned long what, void *request)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    int result = ioctl(fd, what, request);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static struct sockaddr *internet(struct sockaddr *place, struct in_addr address)
{
    struct sockaddr_in socket_address = {.sin_family = AF_INET, .sin_addr = address};

    memcpy(place, &socket_address, sizeof socket_address);
    return place;
}

static struct in_addr mask_of(int prefix)
{
    return (struct in_addr){htonl(prefix ? ~(uint32_t)0 << (32 - prefix) : 0)};
}

int interface_up(const char *name, bool up)
{
    struct ifreq request = about(name);

    if (control(SIOCGIFFLAGS, &request) < 0)
        return -1;
    request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    return control(SIOCSIFFLAGS, &request);
}

int interface_hardware(const char *name, const uint8_t address[6])
{
    struct ifreq request = about(name);

    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, address, 6);
    return control(SIOCSIFHWADDR, &request);
}

int interface_mtu(const char *name, int mtu)
{
    struct ifreq request = about(name);

    request.ifr_mtu = mtu;
    return control(SIOCSIFMTU, &request);
}

int interface_address(const char *name, struct in_addr address, int prefix)
{
    struct ifreq request = about(name);

    internet(&request.ifr_addr, address);
    if (control(SIOCSIFADDR, &request) < 0)
        return -1;
    internet(&request.ifr_netmask, mask_of(prefix));
    return control(SIOCSIFNETMASK, &request);
}

static int route(const char *name, struct in_addr to, struct in_addr mask, struct in_addr gateway, unsigned short flags)
{
    char device[IFNAMSIZ] = "";
    struct rtentry request = {.rt_flags = RTF_UP | flags, .rt_dev = device};

    strncpy(device, name, IFNAMSIZ - 1);
    internet(&request.rt_dst, to);
    internet(&request.rt_genmask, mask);
    internet(&request.rt_gateway, gateway);
    int result = control(SIOCADDRT, &request);
    return result < 0 && errno == EEXIST ? 0 : result;
}

int interface_gateway(const char *name, struct in_addr gateway, struct in_addr address, int prefix)
{
    struct in_addr nothing = {0}, all = {~(in_addr_t)0};

    if ((gateway.s_addr ^ address.s_addr) & mask_of(prefix).s_addr && route(name, gateway, all, nothing, RTF_HOST) < 0)
        return -1;
    return route(name, nothing, nothing, gateway, RTF_GATEWAY);
}

int interface_of(const char *name, uint8_t hardware[6], int *index)
{
    struct ifreq request = about(name);

    if (control(SIOCGIFHWADDR, &request) < 0)
        return -1;
    memcpy(hardware, request.ifr_hwaddr.sa_data, 6);
    if (control(SIOCGIFINDEX, &request) < 0)
        return -1;
    *index = request.ifr_ifindex;
    return 0;
}
