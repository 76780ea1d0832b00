/* Builds messages of fields. */
#include "report.h"

#include <stdio.h>
#include <string.h>

#include "frame.h"
#include "lines.h"
#include "wire.h"

void report_text(struct report *report, const char *key, const char *value) {
  char clean[512];
  size_t length = strnlen(value, sizeof clean - 1);
  for (size_t i = 0; i < length; i++) clean[i] = value[i] < ' ' || value[i] > '~' ? '?' : value[i];
  clean[length] = 0;
  put_field(report->bytes, sizeof report->bytes, &report->length, key, clean);
}

void report_number(struct report *report, const char *key, unsigned long value) {
  char text[24];
  snprintf(text, sizeof text, "%lu", value);
  put_field(report->bytes, sizeof report->bytes, &report->length, key, text);
}

void report_send(const struct report *report, uint8_t tag) { wire_send(tag, report->bytes, report->length); }

void read_process_name(unsigned long pid, char *name, size_t capacity) {
  char path[40];
  snprintf(path, sizeof path, "/proc/%lu/comm", pid);
  if (read_text(path, name, capacity) < 0) name[0] = 0;
  name[strcspn(name, "\n")] = 0;
}

const char *nth_word(const char *text, int n) {
  for (text += strspn(text, " "); n > 0; n--) {
    text += strcspn(text, " ");
    text += strspn(text, " ");
  }
  return text;
}
