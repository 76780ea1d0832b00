/* What the parts of the first-stage init share: the parsed guest document, files under the root, and the steps main.c runs. */
#ifndef BANGER_INIT_H
#define BANGER_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define DOCUMENT_MAX (4u << 20)
#define MEMBERS_MAX 64
#define MEMBER_NAME_MAX 101
#define FILE_MAX (1u << 20)
#define NAME_MAX_LENGTH 64

struct member {
  char name[MEMBER_NAME_MAX];
  const char *data;
  size_t size;
};

struct document {
  struct member members[MEMBERS_MAX];
  size_t count;
};

/* A user of the guest, from the member "user". */
struct account {
  char name[33];
  unsigned uid, gid;
  char home[128];
  char shell[128];
};

/* console.c: one line on the console (PID 1) or stderr; with errno when error is not 0. */
void say(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* document.c: NULL, or why these bytes are no document of version 1. Members point into bytes. */
const char *parseDocument(const char *bytes, size_t length, struct document *document);
const struct member *findMember(const struct document *document, const char *name);
/* The first line of a member, without its newline; false when absent, longer than room or holding anything but printable ASCII. */
bool memberLine(const struct document *document, const char *name, char *into, size_t room);
bool isHostName(const char *text);
bool isAccountName(const char *text);
bool isPlainPath(const char *text);
bool parseAccount(const char *line, struct account *account);

/* files.c: paths are relative to the root that main.c made the working directory. Each complains on its own; false on failure. */
struct owner { mode_t mode; uid_t uid; gid_t gid; };
/* errno says why not: ENOENT only for a file that is not there. */
bool readWhole(const char *path, char **bytes, size_t *length);
bool writeWhole(const char *path, const char *bytes, size_t length, struct owner owner);
bool makeDirectories(const char *path, struct owner owner);
/* Replaces the one line whose beginning up to the delimiter is key, or appends; the file may be missing. */
bool replaceLine(const char *path, const char *key, char delimiter, const char *line, struct owner owner);
/* Copies the line's field number (from 0) of the line whose first field is key. */
bool readField(const char *path, const char *key, int field, char *into, size_t room);
bool copyTree(const char *from, const char *to, uid_t uid, gid_t gid, int depth);

/* accounts.c */
bool ensureAccount(const struct account *account);

/* identity.c: everything that is written when the revision differs; true when all of it could be. */
bool isIdentityCurrent(const struct document *document);
bool writeIdentity(const struct document *document);
/* Stores the revision, after everything else is on the disk. */
void storeRevision(const struct document *document);

/* mounts.c */
void mountKernelFileSystems(void);

/* network.c */
void bringUpLoopback(void);
void bringUpNetwork(const struct document *document);

/* early-sshd.c: whether a listener was left to systemd and a process of ours answers on it until ssh.service does. */
bool startEarlySshd(void);
int endEarlySshd(void);

/* grow.c */
int growRoot(void);

#endif
