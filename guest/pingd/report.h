/* What the guest is told about: fields in a message, and the few facts of /proc that several reports need. */
#ifndef BANGER_REPORT_H
#define BANGER_REPORT_H

#include <stddef.h>
#include <stdint.h>

struct report {
  size_t length;
  uint8_t bytes[2048];
};

/* What is not printable ASCII becomes `?`: whoever reads it may be a terminal, and fields are UTF-8. */
void report_text(struct report *report, const char *key, const char *value);
void report_number(struct report *report, const char *key, unsigned long value);
void report_send(const struct report *report, uint8_t tag);

void read_process_name(unsigned long pid, char *name, size_t capacity);

/* The nth word of a text, from 0 on; the empty text when there are fewer. */
const char *nth_word(const char *text, int n);

#endif
