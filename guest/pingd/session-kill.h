/* Ends all processes of a session that the host has abandoned. */
#ifndef BANGER_SESSION_KILL_H
#define BANGER_SESSION_KILL_H

#include <sys/types.h>

/* SIGHUP to each, as a terminal that goes away would, and SIGKILL to what is left after a while. Reaps the leader. */
void kill_session(pid_t leader);

#endif
