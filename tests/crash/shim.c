/*
 * Between a process and its disk and clock, by LD_PRELOAD: it notes, refuses, kills and steps.
 *
 * Only what lies below the root that shim_root() names is looked at. Every call that changes the
 * disk there is one operation of a kind:
 *
 *     w  write, pwrite, writev      t  ftruncate, truncate      a  posix_fallocate, fallocate
 *     c  an open that makes a file  l  link, rename, mkdir      u  unlink, rmdir
 *     s  fsync, fdatasync           o  an open for writing      m  chmod, fchmod
 *
 * One rule at a time: from the n-th operation on that the rule is about, so many of them, each is
 * refused with an error number, or the process is killed before or after it. With shim_journal()
 * every operation that succeeded is appended to a file, with all that it wrote; of several threads
 * only one may work then. shim_step() moves CLOCK_REALTIME.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 4096
#define PATH_BYTES 512
#define EXPORT __attribute__((visibility("default")))

enum { REFUSE = 0, KILL_BEFORE = 1, KILL_AFTER = 2 };

static char root[PATH_BYTES];
static size_t root_length;
static int journal = -1;
static int64_t step_ns;
/* The path of each descriptor that lies below the root; "" for all others. */
static char paths[FILES_MAX][PATH_BYTES];

static struct {
    char kinds[16];
    char part[PATH_BYTES]; /* of the path; "" is any; with "$" at its end it is the path's end */
    int64_t first, count, seen, met;
    int action, error;
} rule;
static int64_t operations;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* ---- what the tests call ------------------------------------------------------------------ */

EXPORT void shim_root(const char *path)
{
    snprintf(root, sizeof root, "%s", path);
    root_length = strlen(root);
}

EXPORT void shim_rule(const char *kinds, const char *part, int64_t first, int64_t count, int action, int error)
{
    pthread_mutex_lock(&guard);
    snprintf(rule.kinds, sizeof rule.kinds, "%s", kinds);
    snprintf(rule.part, sizeof rule.part, "%s", part);
    rule.first = first;
    rule.count = count;
    rule.seen = rule.met = 0;
    rule.action = action;
    rule.error = error;
    pthread_mutex_unlock(&guard);
}

/* Operations that the present rule was about so far, and those of them that it struck. */
EXPORT int64_t shim_seen(void) { return rule.seen; }
EXPORT int64_t shim_met(void) { return rule.met; }

EXPORT void shim_step(int64_t nanoseconds) { step_ns += nanoseconds; }

EXPORT int shim_journal(const char *path)
{
    REAL(open);
    journal = real(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return journal < 0 ? -1 : 0;
}

/* ---- the journal -------------------------------------------------------------------------- */

struct record {
    char kind; /* as above; F for a sync of a file, D of a directory, N for a note */
    char pad[3];
    uint32_t path_bytes, other_bytes, data_bytes;
    uint64_t inode, offset;
};

static void append(char kind, uint64_t inode, uint64_t offset, const char *path, const char *other,
                   const void *data, size_t size)
{
    if (journal < 0) return;
    int before = errno;
    struct record head = {kind, {0}, strlen(path), strlen(other), size, inode, offset};
    struct iovec parts[] = {
        {&head, sizeof head}, {(void *)path, strlen(path)}, {(void *)other, strlen(other)}, {(void *)data, size}};
    ssize_t whole = sizeof head + strlen(path) + strlen(other) + size;
    if (syscall(SYS_writev, journal, parts, 4) != whole) abort();
    errno = before;
}

EXPORT void shim_note(const char *text) { append('N', 0, 0, "", "", text, strlen(text)); }

/* ---- the rule ----------------------------------------------------------------------------- */

static int is_below(const char *path) { return root_length && strncmp(path, root, root_length) == 0; }

static int is_about(const char *path)
{
    size_t part = strlen(rule.part), whole = strlen(path);
    if (!part || rule.part[part - 1] != '$') return strstr(path, rule.part) != NULL;
    return whole >= part - 1 && strncmp(path + whole - (part - 1), rule.part, part - 1) == 0;
}

/* 0: go on. Otherwise the error number to refuse with. *is_last*: die when it is done. */
static int judge(char kind, const char *path, int *is_last)
{
    int error = 0;
    *is_last = 0;
    pthread_mutex_lock(&guard);
    operations++;
    if (rule.count && strchr(rule.kinds, kind) && is_about(path)) {
        rule.seen++;
        if (rule.seen >= rule.first && rule.seen - rule.first < rule.count) {
            rule.met++;
            if (rule.action == KILL_BEFORE) kill(getpid(), SIGKILL);
            *is_last = rule.action == KILL_AFTER;
            error = rule.action == REFUSE ? rule.error : 0;
        }
    }
    pthread_mutex_unlock(&guard);
    return error;
}

static void end_if(int is_last)
{
    if (is_last) kill(getpid(), SIGKILL);
}

#define JUDGE(kind, path, failed) \
    int is_last; \
    do { \
        int refused = judge(kind, path, &is_last); \
        if (refused) { \
            errno = refused; \
            return failed; \
        } \
    } while (0)

/* ---- paths -------------------------------------------------------------------------------- */

static const char *path_of(int fd) { return fd >= 0 && fd < FILES_MAX ? paths[fd] : ""; }

/* *path* as seen from *directory*, absolute; "" when it is too long or cannot be told. */
static const char *absolute(int directory, const char *path, char *whole)
{
    char link[64];
    whole[0] = 0;
    if (path[0] == '/') {
        snprintf(whole, PATH_BYTES, "%s", path);
        return whole;
    }
    if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, whole, PATH_BYTES - 2);
    if (length <= 0 || (size_t)length + strlen(path) + 2 > PATH_BYTES) {
        whole[0] = 0;
        return whole;
    }
    whole[length] = '/';
    strcpy(whole + length + 1, path);
    return whole;
}

static uint64_t inode_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) ? 0 : status.st_ino;
}

static uint64_t inode_at(const char *path)
{
    struct stat status;
    return lstat(path, &status) ? 0 : status.st_ino;
}

/* ---- opening and closing ------------------------------------------------------------------ */

static int open_it(int directory, const char *path, int flags, mode_t mode)
{
    REAL(openat);
    char whole[PATH_BYTES];
    const char *place = root_length ? absolute(directory, path, whole) : "";
    if (!is_below(place)) {
        int fd = real(directory, path, flags, mode);
        if (fd >= 0 && fd < FILES_MAX) paths[fd][0] = 0;
        return fd;
    }
    int is_new = (flags & O_CREAT) && !inode_at(place);
    char kind = is_new ? 'c' : 'o';
    int writes = is_new || (flags & O_ACCMODE) != O_RDONLY;
    int is_last = 0;
    if (writes) {
        int refused = judge(kind, place, &is_last);
        if (refused) {
            errno = refused;
            return -1;
        }
    }
    int fd = real(directory, path, flags, mode);
    if (fd >= 0 && fd < FILES_MAX) {
        snprintf(paths[fd], PATH_BYTES, "%s", place);
        if (is_new) append('c', inode_of(fd), 0, place, "", "", 0);
        else if (flags & O_TRUNC) append('t', inode_of(fd), 0, place, "", "", 0);
    }
    if (writes) end_if(is_last);
    return fd;
}

#define MODE \
    mode_t mode = 0; \
    if (flags & O_CREAT) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

EXPORT int open(const char *path, int flags, ...) { MODE return open_it(AT_FDCWD, path, flags, mode); }
EXPORT int open64(const char *path, int flags, ...) { MODE return open_it(AT_FDCWD, path, flags, mode); }
EXPORT int openat(int at, const char *path, int flags, ...) { MODE return open_it(at, path, flags, mode); }
EXPORT int openat64(int at, const char *path, int flags, ...) { MODE return open_it(at, path, flags, mode); }

EXPORT int close(int fd)
{
    REAL(close);
    if (fd >= 0 && fd < FILES_MAX) paths[fd][0] = 0;
    return real(fd);
}

/* ---- contents ----------------------------------------------------------------------------- */

/* As on a disk that is getting full: of what comes first a part still fits. */
static size_t fitting(size_t size)
{
    return rule.met == 1 && rule.count > 1 && rule.error == ENOSPC ? size / 2 : 0;
}

static ssize_t write_it(int fd, const void *data, size_t size, int64_t offset)
{
    const char *path = path_of(fd);
    int is_last = 0;
    if (path[0]) {
        int refused = judge('w', path, &is_last);
        if (refused && !(size = fitting(size))) {
            errno = refused;
            return -1;
        }
    }
    int64_t at = offset;
    if (offset < 0 && path[0])
        at = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    ssize_t written = offset < 0 ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, offset);
    if (path[0] && written > 0) append('w', inode_of(fd), at, path, "", data, written);
    end_if(is_last);
    return written;
}

EXPORT ssize_t write(int fd, const void *data, size_t size) { return write_it(fd, data, size, -1); }
EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return write_it(fd, data, size, at); }
EXPORT ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return write_it(fd, data, size, at); }

static int truncate_it(int fd, int64_t size)
{
    const char *path = path_of(fd);
    if (!path[0]) return syscall(SYS_ftruncate, fd, size);
    JUDGE('t', path, -1);
    int done = syscall(SYS_ftruncate, fd, size);
    if (!done) append('t', inode_of(fd), size, path, "", "", 0);
    end_if(is_last);
    return done;
}

EXPORT int ftruncate(int fd, off_t size) { return truncate_it(fd, size); }
EXPORT int ftruncate64(int fd, off64_t size) { return truncate_it(fd, size); }

static int allocate_it(int fd, off64_t at, off64_t size)
{
    REAL(posix_fallocate64);
    const char *path = path_of(fd);
    if (!path[0]) return real(fd, at, size);
    int is_last;
    int refused = judge('a', path, &is_last);
    if (refused) return refused;
    int error = real(fd, at, size);
    if (!error) append('a', inode_of(fd), at + size, path, "", "", 0);
    end_if(is_last);
    return error;
}

EXPORT int posix_fallocate(int fd, off_t at, off_t size) { return allocate_it(fd, at, size); }
EXPORT int posix_fallocate64(int fd, off64_t at, off64_t size) { return allocate_it(fd, at, size); }

static int sync_it(int fd, long number)
{
    const char *path = path_of(fd);
    if (!path[0]) return syscall(number, fd);
    JUDGE('s', path, -1);
    struct stat status;
    int done = syscall(number, fd);
    if (!done && !fstat(fd, &status))
        append(S_ISDIR(status.st_mode) ? 'D' : 'F', status.st_ino, 0, path, "", "", 0);
    end_if(is_last);
    return done;
}

EXPORT int fsync(int fd) { return sync_it(fd, SYS_fsync); }
EXPORT int fdatasync(int fd) { return sync_it(fd, SYS_fdatasync); }

/* ---- names -------------------------------------------------------------------------------- */

static int two_names(char kind, long number, int from_at, const char *from, int to_at, const char *to, int flags)
{
    char whole[PATH_BYTES], other[PATH_BYTES];
    absolute(from_at, from, whole);
    absolute(to_at, to, other);
    int below = is_below(whole) || is_below(other), is_last = 0;
    if (below) {
        int refused = judge('l', other, &is_last);
        if (refused) {
            errno = refused;
            return -1;
        }
    }
    int done = number == SYS_linkat ? syscall(number, from_at, from, to_at, to, flags)
                                    : syscall(number, from_at, from, to_at, to);
    if (below && !done) append(kind, inode_at(other), 0, whole, other, "", 0);
    end_if(is_last);
    return done;
}

EXPORT int link(const char *from, const char *to)
{
    return two_names('l', SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
    return two_names('l', SYS_linkat, from_at, from, to_at, to, flags);
}

EXPORT int rename(const char *from, const char *to)
{
    return two_names('r', SYS_renameat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return two_names('r', SYS_renameat, from_at, from, to_at, to, 0);
}

static int unlink_it(int at, const char *path, int flags)
{
    char whole[PATH_BYTES];
    absolute(at, path, whole);
    if (!is_below(whole)) return syscall(SYS_unlinkat, at, path, flags);
    JUDGE('u', whole, -1);
    uint64_t inode = inode_at(whole);
    int done = syscall(SYS_unlinkat, at, path, flags);
    if (!done) append('u', inode, 0, whole, "", "", 0);
    end_if(is_last);
    return done;
}

EXPORT int unlink(const char *path) { return unlink_it(AT_FDCWD, path, 0); }
EXPORT int rmdir(const char *path) { return unlink_it(AT_FDCWD, path, AT_REMOVEDIR); }
EXPORT int unlinkat(int at, const char *path, int flags) { return unlink_it(at, path, flags); }

EXPORT int mkdir(const char *path, mode_t mode)
{
    char whole[PATH_BYTES];
    absolute(AT_FDCWD, path, whole);
    if (!is_below(whole)) return syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    JUDGE('l', whole, -1);
    int done = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (!done) append('d', inode_at(whole), 0, whole, "", "", 0);
    end_if(is_last);
    return done;
}

EXPORT int chmod(const char *path, mode_t mode)
{
    char whole[PATH_BYTES];
    absolute(AT_FDCWD, path, whole);
    if (!is_below(whole)) return syscall(SYS_fchmodat, AT_FDCWD, path, mode);
    JUDGE('m', whole, -1);
    int done = syscall(SYS_fchmodat, AT_FDCWD, path, mode);
    if (!done) append('m', inode_at(whole), mode, whole, "", "", 0);
    end_if(is_last);
    return done;
}

/* ---- the clock ---------------------------------------------------------------------------- */

EXPORT int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL(clock_gettime);
    int done = real(clock, now);
    if (!done && clock == CLOCK_REALTIME && step_ns) {
        int64_t all = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + step_ns;
        now->tv_sec = all / 1000000000;
        now->tv_nsec = all % 1000000000;
    }
    return done;
}
