/* Accounts and the environment of a login, read from the guest's own files; no PAM, no logind, no login shell's profile. */
#include "user.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"

enum { VARIABLES_MAX = 1024, VARIABLES_BYTES = 256 * 1024, GROUPS_MAX = 128 };

struct search {
  const char *name; /* or NULL, and then by number */
  uid_t uid;
  struct user *user;
  bool found;
};

static void copy_text(char *to, size_t capacity, const char *from) {
  size_t length = strnlen(from, capacity - 1);
  memcpy(to, from, length);
  to[length] = 0;
}

static unsigned long number_in(const char *text) { return take_number(&text); }

/* passwd(5): name:password:uid:gid:comment:home:shell */
static bool match_account(char *line, void *state) {
  struct search *search = state;
  const char *name = next_field(&line, ':');
  next_field(&line, ':');
  const char *uid = next_field(&line, ':'), *gid = next_field(&line, ':');
  if (*uid < '0' || *uid > '9') return true;
  if (search->name != NULL ? strcmp(name, search->name) != 0 : number_in(uid) != search->uid) return true;
  next_field(&line, ':');
  const char *home = next_field(&line, ':'), *shell = next_field(&line, ':');
  struct user *user = search->user;
  user->uid = (uid_t)number_in(uid);
  user->gid = (gid_t)number_in(gid);
  copy_text(user->name, sizeof user->name, name);
  copy_text(user->home, sizeof user->home, *home == 0 ? "/" : home);
  copy_text(user->shell, sizeof user->shell, *shell == 0 ? "/bin/sh" : shell);
  search->found = true;
  return false;
}

bool user_find(const char *wanted, struct user *user) {
  struct search search = {.name = wanted, .uid = geteuid(), .user = user};
  each_line("/etc/passwd", match_account, &search);
  if (search.found) return true;
  if (wanted != NULL) {
    unsigned long number = number_in(wanted);
    if (*wanted == 0 || wanted[strspn(wanted, "0123456789")] != 0 || strlen(wanted) > 10 || number > 0xfffffffe) return false;
    search.name = NULL;
    search.uid = (uid_t)number;
    each_line("/etc/passwd", match_account, &search);
    if (search.found) return true;
  }
  *user = (struct user){.uid = search.uid, .gid = (gid_t)search.uid, .home = "/", .shell = "/bin/sh"};
  snprintf(user->name, sizeof user->name, "%lu", (unsigned long)search.uid);
  return true;
}

void user_name(uid_t uid, char *name, size_t capacity) {
  struct user user;
  struct search search = {.uid = uid, .user = &user};
  each_line("/etc/passwd", match_account, &search);
  if (search.found) copy_text(name, capacity, user.name);
  else snprintf(name, capacity, "%lu", (unsigned long)uid);
}

struct membership {
  const char *name;
  gid_t groups[GROUPS_MAX];
  size_t count;
};

/* group(5): name:password:gid:member,member */
static bool match_group(char *line, void *state) {
  struct membership *membership = state;
  next_field(&line, ':');
  next_field(&line, ':');
  const char *gid = next_field(&line, ':');
  while (*line != 0)
    if (strcmp(next_field(&line, ','), membership->name) == 0 && membership->count < GROUPS_MAX)
      membership->groups[membership->count++] = (gid_t)number_in(gid);
  return true;
}

const char *user_become(const struct user *user) {
  if (geteuid() != 0) return user->uid == geteuid() ? NULL : "the helper is not root";
  struct membership membership = {.name = user->name, .groups = {user->gid}, .count = 1};
  each_line("/etc/group", match_group, &membership);
  if (setgroups(membership.count, membership.groups) != 0 || setgid(user->gid) != 0 || setuid(user->uid) != 0) return strerror(errno);
  return NULL;
}

static char *variables[VARIABLES_MAX + 1];
static char pool[VARIABLES_BYTES];
static size_t variables_count, pool_used;

void environment_set(const char *name, const char *value) {
  size_t name_length = strlen(name), length = name_length + strlen(value) + 2, at = 0;
  while (at < variables_count && (strncmp(variables[at], name, name_length) != 0 || variables[at][name_length] != '=')) at++;
  if (at == VARIABLES_MAX || sizeof pool - pool_used < length) return;
  char *variable = pool + pool_used;
  pool_used += length;
  memcpy(variable, name, name_length);
  variable[name_length] = '=';
  memcpy(variable + name_length + 1, value, length - name_length - 1);
  variables[at] = variable;
  if (at == variables_count) variables_count++;
}

/* `KEY=value` lines as pam_env reads them: comments, `export`, and one pair of quotes around a value. */
static bool take_setting(char *line, void *only_locale) {
  char *key = line + strspn(line, " \t");
  if (strncmp(key, "export ", 7) == 0) key += 7;
  char *value = strchr(key, '=');
  if (*key == '#' || value == NULL || value == key) return true;
  *value++ = 0;
  size_t length = strcspn(value, "\r");
  value[length] = 0;
  if (length >= 2 && (*value == '"' || *value == '\'') && value[length - 1] == *value) {
    value[length - 1] = 0;
    value++;
  }
  if (only_locale == NULL || strncmp(key, "LC_", 3) == 0 || strncmp(key, "LANG", 4) == 0) environment_set(key, value);
  return true;
}

void user_environment(const struct user *user) {
  static bool only_locale = true;
  char runtime[64];
  variables_count = pool_used = 0;
  environ = variables;
  environment_set("PATH", user->uid == 0 ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
                                         : "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games");
  environment_set("LANG", "C.UTF-8");
  each_line("/etc/locale.conf", take_setting, &only_locale);
  each_line("/etc/default/locale", take_setting, &only_locale);
  each_line("/etc/environment", take_setting, NULL);
  environment_set("HOME", user->home);
  environment_set("USER", user->name);
  environment_set("LOGNAME", user->name);
  environment_set("SHELL", user->shell);
  snprintf(runtime, sizeof runtime, "/run/user/%lu", (unsigned long)user->uid);
  if (access(runtime, X_OK) == 0) environment_set("XDG_RUNTIME_DIR", runtime);
}
