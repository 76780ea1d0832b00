/* The system calls that make each kind of connection. All descriptors are non-blocking and close on exec. */
#ifndef BANGER_TRANSPORT_H
#define BANGER_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

enum {
  VSOCK_PORT = 42070,
  VSOCK_ANNOUNCE_PORT = 42071,
  TRANSPORT_REFUSED = -2,
};

/* Finds the device of the port named banger.channel.0. */
bool transport_find_port(char *path, size_t capacity);
int transport_open_port(const char *path);

int transport_listen_vsock(void);
int transport_listen_unix(const char *path);

/* -1: nobody waits any more; TRANSPORT_REFUSED: somebody who may not call. */
int transport_accept(int listener);

/* Begins to connect to the host's announcement port, or to a unix socket in its place. */
int transport_announce(const char *unix_at);

/* A descriptor on which the kernel tells of new devices, and whether one of ours was among them. */
int transport_hotplug(void);
bool transport_hotplug_happened(int fd);

bool unix_address(const char *path, void *address, size_t capacity);

/* control.c: called when the link has nothing more to send. */
void control_flushed(void);

#endif
