/* Who a process of the host's runs as, and in what environment. */
#ifndef BANGER_USER_H
#define BANGER_USER_H

#include <stdbool.h>
#include <sys/types.h>

struct user {
  uid_t uid;
  gid_t gid;
  char name[64], home[256], shell[128];
};

/* Finds a user by name or number; NULL is whoever we are. A number without an account is good enough. */
bool user_find(const char *wanted, struct user *user);

/* The name of an account, or its number. */
void user_name(uid_t uid, char *name, size_t capacity);

/* Gives up all that this user does not have. Returns NULL, or what failed. */
const char *user_become(const struct user *user);

/* Replaces the environment by that of a login: /etc/environment, the locale, and what an account says. */
void user_environment(const struct user *user);

/* Sets one variable; those that do not fit are left out. */
void environment_set(const char *name, const char *value);

#endif
