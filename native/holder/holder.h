/* What the parts of banger-holder share: the namespaces as descriptors, messages with descriptors, and how a failure is told. */
#ifndef BANGER_HOLDER_H
#define BANGER_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The order in which they are handed over and entered: the user namespace first, for it gives the right to the others. */
enum { NS_USER, NS_NET, NS_MOUNT, NS_COUNT };

struct namespaces {
  int fds[NS_COUNT];
};

/* Prints "banger-holder: WHAT: reason of errno" and ends with 1. */
_Noreturn void die(const char *what);
/* The same without an errno. */
_Noreturn void die_plain(const char *what);

/* Puts /dev/null in the place of stdin, stdout and stderr, so that whoever waits for their end does not wait for ours. */
void be_silent(void);

/* namespace.c */
/* Makes namespaces, or takes those of `adopt` when it is a pid, and answers the process in them that keeps them; it ends with us. */
pid_t make_namespaces(pid_t adopt, struct namespaces *found);
bool open_namespaces(pid_t pid, struct namespaces *found);
/* Enters all of them, the caller being single-threaded. Answers false with errno. */
bool enter_namespaces(const struct namespaces *from);
/* Leaves the caller without any capability. */
bool drop_all_rights(void);
/* What keeps this kernel from giving an ordinary user namespaces, as a line on stdout; exit code 0 when nothing does. */
int probe_namespaces(void);

/* message.c */
bool send_fds(int socket, const void *bytes, size_t length, const int *fds, int count);
/* Answers the number of bytes, with up to `limit` descriptors in `fds`; those not received are -1. */
ssize_t receive_fds(int socket, void *bytes, size_t length, int *fds, int limit);
int listen_at(const char *path);
/* Connects to a holder; -1 with errno when nobody listens. */
int connect_to(const char *path);

/* wayout.c */
struct way_out {
  const char *pasta; /* absolute path; NULL: there is none */
  const char *log;   /* what it prints; begun anew with each start */
  pid_t inside;      /* the process whose namespaces it serves */
  int user_namespace;
  pid_t guard; /* 0: none runs */
  long long started_ms;
  long long retry_ms; /* when to start it again; 0: now is not the time */
  long long delay_ms;
};
void start_way_out(struct way_out *way);
void end_way_out(struct way_out *way);
/* Called for each ended child; answers whether it was the way out. */
bool way_out_ended(struct way_out *way, pid_t child);

/* carry.c */
/* Answers 0 when the other side of the connection came to its end, 3 when it broke. */
int carry(int connection);

/* hold.c */
struct hold_options {
  const char *socket;
  const char *pasta;
  const char *log;
  pid_t adopt;
};
int hold(const struct hold_options *options);
long long now_ms(void);

/* inside.c: what is done in the namespaces on behalf of others */
struct enter_options {
  const char *socket;
  const char *argv0; /* NULL: the path */
  bool is_leased;    /* the namespaces live as long as the program */
  char **argv;
};
int enter(const struct enter_options *options);
int connect_inside(const char *socket, const char *address, const char *port, const char *timeout_ms, int to);
/* The same, and stays to carry stdin and stdout; 1 when nobody answered, 75 when there is no holder: nothing was read then. */
int carry_inside(const char *socket, const char *address, const char *port, const char *timeout_ms);
int bind_inside(const char *socket, const char *address, const char *port, int to);

#endif
