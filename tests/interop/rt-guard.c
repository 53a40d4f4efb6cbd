// A library to be preloaded into the PipeWire daemon: while Wireloom's real-time code runs on a thread, that thread
// must not call a function that is forbidden below: those of the C library by which such code would allocate or free
// memory, take a lock (Rust's own wait by `syscall`), wait, or make a system call that pw-module/src/rt does not list.
// Whoever does is named on standard error, and the process is aborted.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static __thread int depth __attribute__((tls_model("initial-exec")));
static unsigned long sections;

void wireloom_rt_enter(void) { depth++; __atomic_fetch_add(&sections, 1, __ATOMIC_RELAXED); }
void wireloom_rt_leave(void) { depth--; }

static void violation(const char *what) {
    depth = 0;
    static const char head[] = "rt-guard: real-time code called ";
    if (write(2, head, sizeof head - 1) < 0 || write(2, what, strlen(what)) < 0 || write(2, "\n", 1) < 0) {}
    void *frames[40];
    backtrace_symbols_fd(frames, backtrace(frames, 40), 2);
    abort();
}

#define FORBID(name) do { if (depth > 0) violation(name); } while (0)

// Says at the end how often it watched: a guard that saw nothing proves nothing.
__attribute__((destructor)) static void farewell(void) {
    char text[80];
    int length = snprintf(text, sizeof text, "rt-guard: watched %lu sections\n", sections);
    if (write(2, text, length) < 0) {}
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

void *malloc(size_t n) { FORBID("malloc"); return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { FORBID("calloc"); return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { FORBID("realloc"); return __libc_realloc(p, n); }
void free(void *p) { if (p) FORBID("free"); __libc_free(p); }
void *memalign(size_t a, size_t n) { FORBID("memalign"); return __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { FORBID("aligned_alloc"); return __libc_memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) {
    FORBID("posix_memalign");
    *p = __libc_memalign(a, n);
    return *p ? 0 : 12;
}

#define NEXT(type, name, args) \
    static type (*next) args; \
    if (!next) next = (type (*) args)dlsym(RTLD_NEXT, #name)

#define WRAP(type, name, args, call) \
    type name args { FORBID(#name); NEXT(type, name, args); return next call; }

WRAP(int, pthread_mutex_lock, (pthread_mutex_t *m), (m))
WRAP(int, pthread_mutex_trylock, (pthread_mutex_t *m), (m))
WRAP(int, pthread_mutex_timedlock, (pthread_mutex_t *m, const struct timespec *t), (m, t))
WRAP(int, pthread_rwlock_rdlock, (pthread_rwlock_t *l), (l))
WRAP(int, pthread_rwlock_wrlock, (pthread_rwlock_t *l), (l))
WRAP(int, pthread_create, (pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *d), (t, a, f, d))
WRAP(int, pthread_join, (pthread_t t, void **r), (t, r))
WRAP(int, sem_wait, (sem_t *s), (s))
WRAP(int, sem_timedwait, (sem_t *s, const struct timespec *t), (s, t))
WRAP(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n))
WRAP(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
WRAP(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(ssize_t, pread, (int fd, void *b, size_t n, off_t o), (fd, b, n, o))
WRAP(ssize_t, send, (int fd, const void *b, size_t n, int f), (fd, b, n, f))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
WRAP(ssize_t, sendto, (int fd, const void *b, size_t n, int f, __CONST_SOCKADDR_ARG a, socklen_t l),
     (fd, b, n, f, a, l))
WRAP(ssize_t, recv, (int fd, void *b, size_t n, int f), (fd, b, n, f))
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f))
WRAP(ssize_t, recvfrom, (int fd, void *restrict b, size_t n, int f, __SOCKADDR_ARG a, socklen_t *restrict l),
     (fd, b, n, f, a, l))
WRAP(int, close, (int fd), (fd))
WRAP(int, socket, (int a, int b, int c), (a, b, c))
WRAP(int, setsockopt, (int fd, int l, int o, const void *v, socklen_t n), (fd, l, o, v, n))
WRAP(int, getsockopt, (int fd, int l, int o, void *restrict v, socklen_t *restrict n), (fd, l, o, v, n))
WRAP(int, bind, (int fd, __CONST_SOCKADDR_ARG a, socklen_t l), (fd, a, l))
WRAP(int, connect, (int fd, __CONST_SOCKADDR_ARG a, socklen_t l), (fd, a, l))
WRAP(int, poll, (struct pollfd *p, nfds_t n, int t), (p, n, t))
WRAP(int, ppoll, (struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *s), (p, n, t, s))
WRAP(int, select, (int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e, struct timeval *restrict t),
     (n, r, w, e, t))
WRAP(int, epoll_wait, (int e, struct epoll_event *v, int n, int t), (e, v, n, t))
WRAP(int, nanosleep, (const struct timespec *a, struct timespec *b), (a, b))
WRAP(int, clock_nanosleep, (clockid_t c, int f, const struct timespec *a, struct timespec *b), (c, f, a, b))
WRAP(int, usleep, (useconds_t n), (n))
WRAP(void *, mmap, (void *a, size_t n, int p, int f, int fd, off_t o), (a, n, p, f, fd, o))
WRAP(int, munmap, (void *a, size_t n), (a, n))
WRAP(FILE *, fopen, (const char *n, const char *m), (n, m))
WRAP(FILE *, fopen64, (const char *n, const char *m), (n, m))
WRAP(int, sched_yield, (void), ())

// The C library keeps waits on conditions in two forms, of which programs mean the newer one.
#define WRAP_NEWER(type, name, args, call) \
    type name args { \
        FORBID(#name); \
        static type (*next) args; \
        if (!next) next = (type (*) args)dlvsym(RTLD_NEXT, #name, "GLIBC_2.3.2"); \
        if (!next) next = (type (*) args)dlsym(RTLD_NEXT, #name); \
        return next call; \
    }

WRAP_NEWER(int, pthread_cond_wait, (pthread_cond_t *restrict c, pthread_mutex_t *restrict m), (c, m))
WRAP_NEWER(int, pthread_cond_timedwait,
           (pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict t), (c, m, t))

int recvmmsg(int fd, struct mmsghdr *v, unsigned n, int f, struct timespec *t) {
    if (depth > 0 && !(f & MSG_DONTWAIT)) violation("recvmmsg that waits");
    NEXT(int, recvmmsg, (int, struct mmsghdr *, unsigned, int, struct timespec *));
    return next(fd, v, n, f, t);
}

int sendmmsg(int fd, struct mmsghdr *v, unsigned n, int f) {
    if (depth > 0 && !(f & MSG_DONTWAIT)) violation("sendmmsg that waits");
    NEXT(int, sendmmsg, (int, struct mmsghdr *, unsigned, int));
    return next(fd, v, n, f);
}

#define WRAP_OPEN(name) \
    int name(const char *path, int flags, ...) { \
        FORBID(#name); \
        va_list list; \
        va_start(list, flags); \
        int mode = va_arg(list, int); \
        va_end(list); \
        NEXT(int, name, (const char *, int, ...)); \
        return next(path, flags, mode); \
    }

#define WRAP_OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        FORBID(#name); \
        va_list list; \
        va_start(list, flags); \
        int mode = va_arg(list, int); \
        va_end(list); \
        NEXT(int, name, (int, const char *, int, ...)); \
        return next(folder, path, flags, mode); \
    }

WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

int ioctl(int fd, unsigned long request, ...) {
    FORBID("ioctl");
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    NEXT(int, ioctl, (int, unsigned long, ...));
    return next(fd, request, argument);
}

long syscall(long number, ...) {
    FORBID("syscall");
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
    long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    NEXT(long, syscall, (long, ...));
    return next(number, a, b, c, d, e, f);
}
