/* Reads a plan: NUL-ended key=value items, each known, each at most once unless it is a list. */
#include "plan.h"

#include <stdio.h>
#include <string.h>

enum kind { KIND_VERSION, KIND_ID, KIND_PATH, KIND_SOCKET, KIND_BYTES, KIND_FLAG, KIND_COUNT, KIND_REMOVE, KIND_ARG, KIND_RESTART_ARG, KIND_ENV };

struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    bool required;
    bool list;
};

#define FIELD(name) offsetof(struct plan, name)

static const struct key KEYS[] = {
    {"version", KIND_VERSION, 0, true, false},
    {"id", KIND_ID, FIELD(id), true, false},
    {"dir", KIND_PATH, FIELD(dir), true, false},
    {"control", KIND_SOCKET, FIELD(control), true, false},
    {"lock", KIND_PATH, FIELD(lock), true, false},
    {"console", KIND_PATH, FIELD(console), true, false},
    {"console_previous", KIND_PATH, FIELD(console_previous), false, false},
    {"console_max", KIND_BYTES, FIELD(console_max), true, false},
    {"vmm_log", KIND_PATH, FIELD(vmm_log), true, false},
    {"vmm_log_max", KIND_BYTES, FIELD(vmm_log_max), true, false},
    {"status", KIND_PATH, FIELD(status), true, false},
    {"vmm_pid", KIND_PATH, FIELD(vmm_pid), false, false},
    {"restart_on_reboot", KIND_FLAG, FIELD(restart_on_reboot), false, false},
    {"end_on_halt", KIND_FLAG, FIELD(end_on_halt), false, false},
    {"restart_max", KIND_COUNT, FIELD(restart_max), false, false},
    {"remove", KIND_REMOVE, 0, false, true},
    {"arg", KIND_ARG, 0, true, true},
    {"restart_arg", KIND_RESTART_ARG, 0, false, true},
    {"env", KIND_ENV, 0, false, true},
};

enum { KEY_COUNT = sizeof KEYS / sizeof KEYS[0], BYTES_MIN = 4096, BYTES_MAX = 1 << 30 };

static bool is_id(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > PLAN_ID_MAX) return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length;
}

/* Absolute, and nothing in it that could lead elsewhere than it reads. */
static bool is_path(const char *text)
{
    size_t length = strlen(text);
    if (text[0] != '/' || length < 2 || length > 4000 || text[length - 1] == '/') return false;
    for (const char *at = text; (at = strchr(at, '/')) != NULL; at++) {
        if (at[1] == '/') return false;
        if (at[1] == '.' && (at[2] == '/' || at[2] == '\0')) return false;
        if (at[1] == '.' && at[2] == '.' && (at[3] == '/' || at[3] == '\0')) return false;
    }
    return true;
}

static bool read_number(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    uint64_t value = 0;
    size_t length = strlen(text);
    if (length == 0 || length > 12 || (length > 1 && text[0] == '0')) return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value < low || value > high) return false;
    *out = value;
    return true;
}

static bool is_env(const char *text)
{
    size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return name > 0 && text[name] == '=' && !(text[0] >= '0' && text[0] <= '9');
}

static bool push(char **list, size_t *count, size_t max, char *value)
{
    if (*count >= max) return false;
    list[(*count)++] = value;
    list[*count] = NULL;
    return true;
}

static bool take(struct plan *plan, const struct key *key, char *value)
{
    char *field = (char *)plan + key->offset;
    uint64_t number;
    switch (key->kind) {
    case KIND_VERSION:
        return strcmp(value, "1") == 0;
    case KIND_ID:
        if (!is_id(value)) return false;
        plan->id = value;
        return true;
    case KIND_SOCKET:
        if (strlen(value) > SOCKET_PATH_MAX) return false;
        /* fall through */
    case KIND_PATH:
        if (!is_path(value)) return false;
        memcpy(field, &value, sizeof value);
        return true;
    case KIND_BYTES:
        if (!read_number(value, BYTES_MIN, BYTES_MAX, &number)) return false;
        memcpy(field, &number, sizeof number);
        return true;
    case KIND_FLAG:
        if (!read_number(value, 0, 1, &number)) return false;
        *(bool *)field = number == 1;
        return true;
    case KIND_COUNT:
        if (!read_number(value, 0, PLAN_RESTARTS_MAX, &number)) return false;
        plan->restart_max = (unsigned)number;
        return true;
    case KIND_REMOVE:
        if (!is_path(value) || strlen(value) > SOCKET_PATH_MAX || plan->removes >= PLAN_REMOVE_MAX) return false;
        plan->remove[plan->removes++] = value;
        return true;
    case KIND_ARG:
        if (plan->args == 0 && !is_path(value)) return false;
        return push(plan->argv, &plan->args, PLAN_ARGS_MAX, value);
    case KIND_RESTART_ARG:
        if (plan->restart_args == 0 && !is_path(value)) return false;
        return push(plan->restart_argv, &plan->restart_args, PLAN_ARGS_MAX, value);
    case KIND_ENV:
        return is_env(value) && push(plan->env, &plan->envs, PLAN_ENV_MAX, value);
    }
    return false;
}

static const struct key *key_of(const char *item, size_t length)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strlen(KEYS[i].name) == length && memcmp(KEYS[i].name, item, length) == 0) return &KEYS[i];
    }
    return NULL;
}

static bool is_inside(const char *dir, const char *path)
{
    size_t length = strlen(dir);
    return strncmp(dir, path, length) == 0 && path[length] == '/';
}

static int refuse(char *why, size_t size, const char *what, const char *name)
{
    snprintf(why, size, "%s: %.40s", what, name);
    /* The name may be anybody's bytes, and this line is read on terminals. */
    for (char *at = why; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~') *at = '?';
    }
    return -1;
}

int plan_parse(struct plan *plan, char *text, size_t length, char *why, size_t why_size)
{
    bool seen[KEY_COUNT] = {false};
    memset(plan, 0, sizeof *plan);
    plan->restart_max = 5;
    if (length == 0 || text[length - 1] != '\0') return refuse(why, why_size, "the plan does not end with a NUL", "");
    for (char *item = text; item < text + length; item += strlen(item) + 1) {
        char *equals = strchr(item, '=');
        if (equals == NULL) return refuse(why, why_size, "an item without =", item);
        const struct key *key = key_of(item, (size_t)(equals - item));
        if (key == NULL) return refuse(why, why_size, "unknown key", item);
        if (seen[key - KEYS] && !key->list) return refuse(why, why_size, "given twice", key->name);
        seen[key - KEYS] = true;
        if (!take(plan, key, equals + 1)) return refuse(why, why_size, "bad value", item);
    }
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (KEYS[i].required && !seen[i]) return refuse(why, why_size, "missing", KEYS[i].name);
    }
    if (!is_inside(plan->dir, plan->control)) return refuse(why, why_size, "not inside dir", "control");
    if (plan->vmm_pid != NULL && !is_inside(plan->dir, plan->vmm_pid)) {
        return refuse(why, why_size, "not inside dir", "vmm_pid");
    }
    for (size_t i = 0; i < plan->removes; i++) {
        if (!is_inside(plan->dir, plan->remove[i])) return refuse(why, why_size, "not inside dir", plan->remove[i]);
    }
    return 0;
}
