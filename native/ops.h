/*
 * The format of a launcher program: what src/runtime/launcher-program.ts writes and launcher.c reads. Little-endian.
 * A test compares the names and values here with the tables over there.
 *
 * A program is one blob: header, operations, relocations, data. It is read from descriptor 3, the control channel.
 */
#ifndef TSBUILD_OPS_H
#define TSBUILD_OPS_H

#include <stdint.h>

#define PROGRAM_MAGIC 0x4c425354u /* "TSBL" */
#define PROGRAM_VERSION 1u
#define PROGRAM_MAX_BYTES (64u << 20)
#define REGISTER_COUNT 32u
#define NO_REGISTER 255u
#define CONTROL_FD 3

struct header {
	uint32_t magic;
	uint32_t version;
	uint64_t length; /* of the whole blob, this header included */
	uint32_t op_count;
	uint32_t relocation_count;
	uint64_t ops_offset;
	uint64_t relocations_offset; /* u64 each: where in the data a pointer into the data stands */
	uint64_t data_offset;        /* the data reaches to the end of the blob */
};

enum op_kind {
	KIND_SYSCALL = 1,   /* number, up to six arguments */
	KIND_LOAD32 = 2,    /* register <- i32 at data arg0 */
	KIND_STORE32 = 3,   /* i32 at data arg0 <- arg1 */
	KIND_ITOA = 4,      /* decimal of arg1 and a NUL at data arg0 (21 bytes) */
	KIND_REPORT = 5,    /* record of type arg0 with arg1, arg2 to descriptor 3 */
	KIND_SUPERVISE = 6, /* parent: arg0 pid, arg1 pidfd, arg2 sync socket, arg3 exit file or -1, arg4 pty master or
			       -1; goes on when the child has ended and the control channel is closed; ends the
			       program on RELEASE */
	KIND_INIT = 7,      /* pid 1: arg0 pid of the main process; never returns */
	KIND_CWDCHECK = 8,  /* fails with ENOENT when the working directory is outside the root */
	KIND_EXIT = 9       /* report arg0 as errno unless 0, leave with exit_code */
};

enum arg_kind { ARG_IMMEDIATE = 0, ARG_DATA = 1, ARG_REGISTER = 2 };

enum op_flag {
	FLAG_JUMP_POSITIVE = 1,
	FLAG_JUMP_NEGATIVE = 2,
	FLAG_TOLERATE_ALL = 4,
	FLAG_JUMP_FIRST = 8, /* jump when the error is the first tolerated one */
	FLAG_JUMP_ALWAYS = 16
};

struct op {
	uint8_t kind;
	uint8_t dest;
	uint16_t arg_kinds; /* two bits each, argument 0 lowest */
	uint32_t number;
	uint64_t arg[6];
	uint16_t tolerate[4]; /* errnos; 0 = none */
	uint32_t jump;
	uint16_t flags;
	uint8_t exit_code;
	uint8_t padding;
};

/* Records of the control channel, both directions. */
struct record {
	uint32_t type;
	int32_t a;
	int64_t b;
};

enum record_type {
	RECORD_PID = 1,     /* b: pid of the child in our pid namespace */
	RECORD_READY = 2,   /* the child waits for GO; b: descriptor of the pty master here, or -1 */
	RECORD_STARTED = 3, /* exec succeeded, unless FAILED came before */
	RECORD_FAILED = 4,  /* a: errno, b: index of the operation, -1: the program was refused */
	RECORD_USAGE = 5,   /* a: maximum resident set in KiB, b: user ms << 32 | system ms */
	RECORD_EXITED = 6,  /* a: wait status */
	/*
	 * Written by programs, by one write(2) each, because the other process writes here too: a bytes of text follow,
	 * padded to a fixed length.
	 */
	RECORD_CREATED = 7, /* a mount point was made, in the folder that follows; b: which, in the compiler's numbering */
	RECORD_HEAD = 8,    /* the beginning of a file that could not be executed */
	RECORD_GO = 16,
	RECORD_SIGNAL = 17, /* a: signal for the child */
	RECORD_DETACH = 18, /* from now on the end of the channel does not end the child */
	RECORD_RELEASE = 19 /* after EXITED: the owner has cleaned up, the program need not */
};

_Static_assert(sizeof(struct header) == 48, "header layout");
_Static_assert(sizeof(struct op) == 72, "op layout");
_Static_assert(sizeof(struct record) == 16, "record layout");

#endif
