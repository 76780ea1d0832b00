/* The guest's own side: one helper at a time, and the word that the guest is about to end. */
#ifndef BANGER_CONTROL_H
#define BANGER_CONTROL_H

#include "session.h"

/* Becomes the one helper of this guest. With `wait`, sleeps until the present one has gone. False: there is another. */
bool control_become_only(const char *run_directory, bool wait);

/* Listens for `--ending`; a guest without a usable run directory does without. */
void control_open(const char *run_directory, struct session *session);

/* `poweroff`, `reboot`, `halt` or `kexec` as a constant, or NULL. */
const char *ending_named(const char *name);

/* The one-shot client; returns its exit code. */
int control_tell_ending(const char *run_directory, const char *why);

#endif
