/* Decides whether the root file system is smaller than its disk, and then becomes resize2fs, which grows it while it is mounted. */
#define _GNU_SOURCE
#include "banger-init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ROOT_DISK "/dev/vda"
#define SUPERBLOCK_AT 1024
/* <linux/fs.h>, which musl does not bring. */
#define BLKGETSIZE64 _IOR(0x12, 114, size_t)

/* Documentation/filesystems/ext4/super.rst: s_blocks_count_lo, s_log_block_size, s_magic, s_blocks_count_hi. */
static uint64_t fileSystemBytes(const unsigned char *super) {
  uint32_t low, high, shift;
  __builtin_memcpy(&low, super + 0x04, 4);
  __builtin_memcpy(&shift, super + 0x18, 4);
  __builtin_memcpy(&high, super + 0x150, 4);
  if (super[0x38] != 0x53 || super[0x39] != 0xef || shift > 6) return 0;
  return (((uint64_t)high << 32) | low) << (10 + shift);
}

int growRoot(void) {
  unsigned char super[1024];
  uint64_t disk;
  int fd = open(ROOT_DISK, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || pread(fd, super, sizeof super, SUPERBLOCK_AT) != sizeof super || ioctl(fd, BLKGETSIZE64, &disk) != 0) {
    say(errno, ROOT_DISK);
    return 1;
  }
  close(fd);
  uint64_t used = fileSystemBytes(super);
  /* Less than a block group more is not worth a resize. */
  if (used == 0 || disk < used + (128u << 20)) return 0;
  execl("/usr/sbin/resize2fs", "resize2fs", ROOT_DISK, (char *)NULL);
  say(errno, "resize2fs");
  return 1;
}
