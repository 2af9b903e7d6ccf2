/* Preloaded into the service: notes what is done to the files of its store, in order, at the end of the
 * file that RECORD_TO names. Each note is a struct note and, for a write, what was written.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES = 3, DESCRIPTORS = 65536 };

static const char *const names[FILES] = {"/workflow.db", "/workflow.db-wal", "/workflow.db-journal"};

/* 'w'rite, 't'runcate, sync 'b'egins, sync 'e'nds, 'u'nlink. */
struct __attribute__((packed)) note {
	uint8_t what, file;
	uint64_t at;
	uint32_t size;
};

static int notes = -1;
/* The number of the file that each descriptor is of, from 1. */
static uint8_t files[DESCRIPTORS];

__attribute__((constructor)) static void begin(void) {
	const char *path = getenv("RECORD_TO");
	if (path)
		notes = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int file_of(const char *path) {
	size_t length = strlen(path);
	for (int file = 0; file < FILES; file++) {
		size_t tail = strlen(names[file]);
		if (length >= tail && !strcmp(path + length - tail, names[file]))
			return file + 1;
	}
	return 0;
}

static int file_at(int descriptor) {
	return notes >= 0 && descriptor >= 0 && descriptor < DESCRIPTORS ? files[descriptor] : 0;
}

static void take_down(uint8_t what, int file, uint64_t at, const void *bytes, size_t size) {
	struct note note = {what, file - 1, at, size};
	struct iovec both[2] = {{&note, sizeof note}, {(void *)bytes, size}};
	if (file && writev(notes, both, 2) != (ssize_t)(sizeof note + size))
		abort();
}

#define REAL(function) ((__typeof__(function) *)dlsym(RTLD_NEXT, #function))

#define OPEN(name) \
	int name(const char *path, int flags, ...) { \
		va_list more; \
		va_start(more, flags); \
		int descriptor = REAL(name)(path, flags, va_arg(more, int)); \
		va_end(more); \
		if (descriptor >= 0 && descriptor < DESCRIPTORS) \
			files[descriptor] = file_of(path); \
		return descriptor; \
	}
OPEN(open)
OPEN(open64)

int close(int descriptor) {
	if (descriptor >= 0 && descriptor < DESCRIPTORS)
		files[descriptor] = 0;
	return REAL(close)(descriptor);
}

ssize_t write(int descriptor, const void *bytes, size_t size) {
	int file = file_at(descriptor);
	off_t at = file ? lseek(descriptor, 0, SEEK_CUR) : 0;
	ssize_t written = REAL(write)(descriptor, bytes, size);
	if (file && written > 0)
		take_down('w', file, at, bytes, written);
	return written;
}

#define PWRITE(name, offset) \
	ssize_t name(int descriptor, const void *bytes, size_t size, offset at) { \
		ssize_t written = REAL(name)(descriptor, bytes, size, at); \
		if (written > 0) \
			take_down('w', file_at(descriptor), at, bytes, written); \
		return written; \
	}
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, offset) \
	int name(int descriptor, offset length) { \
		int failed = REAL(name)(descriptor, length); \
		if (!failed) \
			take_down('t', file_at(descriptor), length, NULL, 0); \
		return failed; \
	}
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name) \
	int name(int descriptor) { \
		take_down('b', file_at(descriptor), 0, NULL, 0); \
		int failed = REAL(name)(descriptor); \
		if (!failed) \
			take_down('e', file_at(descriptor), 0, NULL, 0); \
		return failed; \
	}
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
	int failed = REAL(unlink)(path);
	if (!failed && notes >= 0)
		take_down('u', file_of(path), 0, NULL, 0);
	return failed;
}
