// A system that knows no source-specific membership: preloaded, it refuses to join a group for one source.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <unistd.h>

int setsockopt(int fd, int level, int name, const void *value, socklen_t length) {
    if (level == IPPROTO_IP && name == MCAST_JOIN_SOURCE_GROUP) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_setsockopt, fd, level, name, value, length);
}
