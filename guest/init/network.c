/* Brings up lo and eth0 from the guest document's "network" by ioctl, without starting a process (netdevice(7), route(7)). */
#define _GNU_SOURCE
#include "banger-init.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INTERFACE "eth0"
#define INTERFACE_WAIT_MS 2000

struct settings {
  struct in_addr address, mask, gateway;
  bool hasAddress, hasGateway, hasMac;
  unsigned char mac[6];
  int mtu;
};

static bool request(int fd, unsigned long code, struct ifreq *ifr, const char *what) {
  if (ioctl(fd, code, ifr) == 0) return true;
  say(errno, "%s %s", ifr->ifr_name, what);
  return false;
}

static void setAddress(struct ifreq *ifr, struct in_addr address) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};
  memcpy(&ifr->ifr_addr, &in, sizeof in);
}

static bool setUp(int fd, const char *name) {
  struct ifreq ifr = {0};
  strcpy(ifr.ifr_name, name);
  if (!request(fd, SIOCGIFFLAGS, &ifr, "flags")) return false;
  ifr.ifr_flags |= IFF_UP | IFF_RUNNING;
  return request(fd, SIOCSIFFLAGS, &ifr, "up");
}

void bringUpLoopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    say(errno, "socket");
    return;
  }
  setUp(fd, "lo");
  close(fd);
}

static bool parsePrefix(char *text, struct settings *settings) {
  char *slash = strchr(text, '/');
  if (slash == NULL) return false;
  *slash = 0;
  char *end;
  long bits = strtol(slash + 1, &end, 10);
  if (*end != 0 || end == slash + 1 || bits < 1 || bits > 32 || inet_pton(AF_INET, text, &settings->address) != 1) return false;
  settings->mask.s_addr = htonl(0xffffffffu << (32 - bits));
  settings->hasAddress = true;
  return true;
}

static bool parseMac(const char *text, struct settings *settings) {
  unsigned part[6];
  char rest;
  if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &part[0], &part[1], &part[2], &part[3], &part[4], &part[5], &rest) != 6) return false;
  /* Bit 0 of the first byte marks a multicast address, which no interface can have. */
  if (part[0] & 1) return false;
  for (int i = 0; i < 6; i++) settings->mac[i] = (unsigned char)part[i];
  settings->hasMac = true;
  return true;
}

static bool parseSetting(char *key, char *value, struct settings *settings) {
  if (strcmp(key, "address") == 0) return parsePrefix(value, settings);
  if (strcmp(key, "gateway") == 0) return settings->hasGateway = inet_pton(AF_INET, value, &settings->gateway) == 1;
  if (strcmp(key, "mac") == 0) return parseMac(value, settings);
  if (strcmp(key, "mtu") == 0) {
    settings->mtu = atoi(value);
    return settings->mtu >= 576 && settings->mtu <= 65535;
  }
  return true;
}

static bool parseNetwork(const struct document *document, struct settings *settings) {
  const struct member *member = findMember(document, "network");
  char text[1024];
  if (member == NULL) return false;
  if (member->size >= sizeof text) {
    say(0, "the document's network is too long");
    return false;
  }
  memcpy(text, member->data, member->size);
  text[member->size] = 0;
  char *rest = text;
  for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
    char *value = strchr(line, ' ');
    if (value == NULL) continue;
    *value++ = 0;
    if (!parseSetting(line, value, settings)) say(0, "the document's network has a bad %s", line);
  }
  return settings->hasAddress;
}

static bool waitForInterface(void) {
  for (int waited = 0; if_nametoindex(INTERFACE) == 0; waited += 5) {
    struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    if (waited >= INTERFACE_WAIT_MS) return false;
    nanosleep(&pause, NULL);
  }
  return true;
}

static void setMac(int fd, const struct settings *settings) {
  struct ifreq ifr = {.ifr_name = INTERFACE};
  if (!request(fd, SIOCGIFHWADDR, &ifr, "hardware address")) return;
  if (memcmp(ifr.ifr_hwaddr.sa_data, settings->mac, 6) == 0) return;
  ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  memcpy(ifr.ifr_hwaddr.sa_data, settings->mac, 6);
  request(fd, SIOCSIFHWADDR, &ifr, "hardware address");
}

static void setGateway(int fd, struct in_addr gateway) {
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = (char[]){INTERFACE}};
  struct sockaddr_in in = {.sin_family = AF_INET};
  memcpy(&route.rt_dst, &in, sizeof in);
  memcpy(&route.rt_genmask, &in, sizeof in);
  in.sin_addr = gateway;
  memcpy(&route.rt_gateway, &in, sizeof in);
  if (ioctl(fd, SIOCADDRT, &route) != 0 && errno != EEXIST) say(errno, "default route");
}

void bringUpNetwork(const struct document *document) {
  struct settings settings = {0};
  if (!parseNetwork(document, &settings)) return;
  if (!waitForInterface()) {
    say(0, "there is no " INTERFACE);
    return;
  }
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    say(errno, "socket");
    return;
  }
  if (settings.hasMac) setMac(fd, &settings);
  struct ifreq ifr = {.ifr_name = INTERFACE};
  ifr.ifr_mtu = settings.mtu;
  if (settings.mtu != 0 && settings.mtu != 1500) request(fd, SIOCSIFMTU, &ifr, "mtu");
  setAddress(&ifr, settings.address);
  bool addressed = request(fd, SIOCSIFADDR, &ifr, "address");
  setAddress(&ifr, settings.mask);
  addressed = addressed && request(fd, SIOCSIFNETMASK, &ifr, "netmask");
  if (setUp(fd, INTERFACE) && addressed && settings.hasGateway) setGateway(fd, settings.gateway);
  close(fd);
}
