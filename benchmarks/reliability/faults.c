/* Stands between a program and the C library: the n-th system call that writes below a folder fails.
 *
 * What fails, and when, stands in a file that all processes share (VGT_FAULTS); faults.py writes it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct plan {
    int at;      /* which call fails, from 1; 0: none */
    int lasting; /* whether those after it fail too */
    int error;
    int count;          /* calls so far */
    char folder[1000];  /* below which calls count */
    char failed[1000];  /* the call that failed first */
};

static struct plan *plan;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("VGT_FAULTS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, sizeof(struct plan), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) plan = found;
}

static int is_below(const char *path) {
    size_t length = strlen(plan->folder);
    return length && !strncmp(path, plan->folder, length) && (path[length] == '/' || !path[length]);
}

static void absolute(int folder, const char *path, char *whole) {
    char place[PATH_MAX] = "", link[64];
    if (path[0] == '/') { snprintf(whole, PATH_MAX, "%s", path); return; }
    snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, place, sizeof place - 1);
    place[length < 0 ? 0 : length] = 0;
    snprintf(whole, PATH_MAX, "%.2000s/%.2000s", place, path);
}

/* Whether a call is to fail; errno is set then. */
static int fails_at(const char *name, const char *whole) {
    if (!is_below(whole)) return 0;
    /* A full disk lets files be taken away. */
    if (plan->error == ENOSPC && (!strncmp(name, "unlink", 6) || !strcmp(name, "rmdir"))) return 0;
    int number = __atomic_add_fetch(&plan->count, 1, __ATOMIC_SEQ_CST);
    if (!plan->at || number < plan->at || (number > plan->at && !plan->lasting)) return 0;
    if (number == plan->at) snprintf(plan->failed, sizeof plan->failed, "%s %.900s", name, whole);
    errno = plan->error;
    return 1;
}

static int fails(const char *name, int folder, const char *path) {
    char whole[PATH_MAX];
    if (!plan || !path) return 0;
    absolute(folder, path, whole);
    return fails_at(name, whole);
}

static int fails_in(const char *name, int file) {
    char link[64], whole[PATH_MAX];
    if (!plan || !plan->folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    if (length <= 0) return 0;
    whole[length] = 0;
    return fails_at(name, whole);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & O_CREAT))
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
#define OF_FILE(result, name, parameters, arguments) \
    result name parameters { return fails_in(#name, file) ? -1 : REAL(name) arguments; }
#define OF_PATH(result, name, parameters, arguments, path) \
    result name parameters { return fails(#name, AT_FDCWD, path) ? -1 : REAL(name) arguments; }
#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        MODE(flags) \
        return WRITES(flags) && fails("open", AT_FDCWD, path) ? -1 : REAL(name)(path, flags, mode); \
    }
#define OPENS_AT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        MODE(flags) \
        return WRITES(flags) && fails("open", folder, path) ? -1 : REAL(name)(folder, path, flags, mode); \
    }

OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

FILE *fopen64(const char *path, const char *mode) {
    int writes = strpbrk(mode, "wa+") != NULL;
    return writes && fails("fopen", AT_FDCWD, path) ? NULL : REAL(fopen64)(path, mode);
}
FILE *fopen(const char *path, const char *mode) {
    int writes = strpbrk(mode, "wa+") != NULL;
    return writes && fails("fopen", AT_FDCWD, path) ? NULL : REAL(fopen)(path, mode);
}

OF_FILE(ssize_t, write, (int file, const void *bytes, size_t size), (file, bytes, size))
OF_FILE(ssize_t, writev, (int file, const struct iovec *parts, int number), (file, parts, number))
OF_FILE(ssize_t, pwrite, (int file, const void *bytes, size_t size, off_t at), (file, bytes, size, at))
OF_FILE(ssize_t, pwrite64, (int file, const void *bytes, size_t size, off64_t at), (file, bytes, size, at))
OF_FILE(ssize_t, sendfile, (int file, int from, off_t *at, size_t size), (file, from, at, size))
OF_FILE(ssize_t, sendfile64, (int file, int from, off64_t *at, size_t size), (file, from, at, size))
OF_FILE(int, fsync, (int file), (file))
OF_FILE(int, fdatasync, (int file), (file))
OF_FILE(int, ftruncate, (int file, off_t size), (file, size))
OF_FILE(int, ftruncate64, (int file, off64_t size), (file, size))
OF_FILE(int, flock, (int file, int operation), (file, operation))
OF_FILE(int, fchmod, (int file, mode_t mode), (file, mode))
OF_PATH(int, rename, (const char *from, const char *to), (from, to), to)
OF_PATH(int, unlink, (const char *path), (path), path)
OF_PATH(int, rmdir, (const char *path), (path), path)
OF_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode), path)
OF_PATH(int, chmod, (const char *path, mode_t mode), (path, mode), path)

int renameat(int one, const char *from, int other, const char *to) {
    return fails("rename", other, to) ? -1 : REAL(renameat)(one, from, other, to);
}
int unlinkat(int folder, const char *path, int flags) {
    return fails("unlink", folder, path) ? -1 : REAL(unlinkat)(folder, path, flags);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    return fails("mkdir", folder, path) ? -1 : REAL(mkdirat)(folder, path, mode);
}
