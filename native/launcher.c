/*
 * The launcher: an interpreter of system-call programs. Between clone and exec only a single-threaded program may run,
 * so this is not Node; and so that it needs no opinion, all policy is in the program that TypeScript compiles.
 *
 * In: a program on descriptor 3 (see ops.h). Out: records on descriptor 3.
 * Freestanding: no libc, no heap, no threads. A failed operation is reported as {errno, operation number} and ends the
 * process; the sentence for it is known to whoever compiled the program.
 */
#include "ops.h"

#if defined(LAUNCHER_HOSTED) /* the fuzz harness: its own entry, and system calls that touch nothing */
long launcher_syscall(long number, const long *arg);
_Noreturn void launcher_stop(int status);
void launcher_step(void);
/* Our own calls have numbers that no operation can name: what a program calls, it calls with any pointer. */
#define OWN(n) (0x100000000L + (n))
#define NR_read OWN(0)
#define NR_write OWN(1)
#define NR_mmap OWN(2)
#define NR_rt_sigtimedwait OWN(3)
#define NR_getcwd OWN(4)
#define NR_wait4 OWN(5)
#define NR_kill OWN(6)
#define NR_close OWN(7)
#define NR_recvfrom OWN(8)
#define NR_clock_gettime OWN(9)
#define NR_exit_group OWN(10)
#define NR_ppoll OWN(11)
#define NR_pidfd_send_signal OWN(12)
#elif defined(__x86_64__)
#define NR_read 0
#define NR_write 1
#define NR_mmap 9
#define NR_rt_sigtimedwait 128
#define NR_getcwd 79
#define NR_wait4 61
#define NR_kill 62
#define NR_close 3
#define NR_recvfrom 45
#define NR_clock_gettime 228
#define NR_exit_group 231
#define NR_ppoll 271
#elif defined(__aarch64__)
#define NR_read 63
#define NR_write 64
#define NR_mmap 222
#define NR_rt_sigtimedwait 137
#define NR_getcwd 17
#define NR_wait4 260
#define NR_kill 129
#define NR_close 57
#define NR_recvfrom 207
#define NR_clock_gettime 113
#define NR_exit_group 94
#define NR_ppoll 73
#else
#error "no system call table for this architecture"
#endif
#if !defined(LAUNCHER_HOSTED)
#define NR_pidfd_send_signal 424 /* equal everywhere, as all numbers from 424 on */
#endif

#define ENOENT 2
#define EINTR 4
#define EINVAL 22
#define SIGKILL 9
#define SIGCHLD 17
#define WNOHANG 1
#define POLLIN 1
#define MSG_DONTWAIT 0x40
#define MSG_WAITALL 0x100

static long call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(LAUNCHER_HOSTED)
	const long arg[6] = {a, b, c, d, e, f};
	return launcher_syscall(number, arg);
#elif defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#else
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#endif
}

static long retry(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	do
		result = call(number, a, b, c, d, e, f);
	while (result == -EINTR);
	return result;
}

#if defined(LAUNCHER_HOSTED)
#define stop launcher_stop
#else
static _Noreturn void stop(int status)
{
	for (;;)
		call(NR_exit_group, status, 0, 0, 0, 0, 0);
}
#endif

/* The other end may be gone (EPIPE, its signal is blocked): nobody is left to be told. */
static void report(uint32_t type, int32_t a, int64_t b)
{
	struct record record;
	record.type = type;
	record.a = a;
	record.b = b;
	retry(NR_write, CONTROL_FD, (long)&record, sizeof record, 0, 0, 0);
}

static _Noreturn void fail(int64_t op_index, long error, int exit_code)
{
	report(RECORD_FAILED, (int32_t)error, op_index);
	stop(exit_code);
}

struct program {
	const struct op *ops;
	uint32_t op_count;
	unsigned char *data;
	uint64_t data_length;
};

static int64_t registers[REGISTER_COUNT];

/* ---- reading ---- */

static void read_all(unsigned char *to, uint64_t length)
{
	uint64_t done = 0;
	while (done < length) {
		long n = retry(NR_read, CONTROL_FD, (long)(to + done), (long)(length - done), 0, 0, 0);
		if (n <= 0)
			stop(125); /* whoever wanted a container is gone */
		done += (uint64_t)n;
	}
}

/* `count` things of `size` bytes from `offset` on lie inside a blob of `length` bytes. No sum here can overflow. */
static int lies_inside(uint64_t offset, uint64_t count, uint64_t size, uint64_t length)
{
	return offset <= length && offset % 8 == 0 && count <= (length - offset) / size;
}

/* How many bytes of data the operation itself (not the kernel) reads or writes at argument 0. */
static uint64_t data_bytes_of(const struct op *op)
{
	switch (op->kind) {
	case KIND_LOAD32:
	case KIND_STORE32:
		return 4;
	case KIND_ITOA:
		return 21;
	default:
		return 0;
	}
}

static int op_is_valid(const struct program *program, const struct op *op)
{
	if (op->kind < KIND_SYSCALL || op->kind > KIND_EXIT || op->jump > program->op_count)
		return 0;
	if (op->dest != NO_REGISTER && op->dest >= REGISTER_COUNT)
		return 0;
	for (unsigned i = 0; i < 6; i++) {
		unsigned kind = (op->arg_kinds >> (2 * i)) & 3u;
		if (kind == ARG_REGISTER ? op->arg[i] >= REGISTER_COUNT
					 : kind == ARG_DATA ? op->arg[i] > program->data_length : kind != ARG_IMMEDIATE)
			return 0;
	}
	uint64_t bytes = data_bytes_of(op);
	return bytes == 0 || ((op->arg_kinds & 3u) == ARG_DATA && bytes <= program->data_length - op->arg[0]);
}

/* Everything is checked before anything runs: 0, or the program is refused. */
static int load(struct program *program, unsigned char *blob, const struct header *header)
{
	if (!lies_inside(header->ops_offset, header->op_count, sizeof(struct op), header->length) ||
	    !lies_inside(header->relocations_offset, header->relocation_count, 8, header->length) ||
	    !lies_inside(header->data_offset, 0, 1, header->length))
		return -1;
	program->ops = (const struct op *)(const void *)(blob + header->ops_offset);
	program->op_count = header->op_count;
	program->data = blob + header->data_offset;
	program->data_length = header->length - header->data_offset;

	const uint64_t *cells = (const uint64_t *)(const void *)(blob + header->relocations_offset);
	for (uint32_t i = 0; i < header->relocation_count; i++) {
		if (!lies_inside(cells[i], 1, 8, program->data_length))
			return -1;
		uint64_t *cell = (uint64_t *)(void *)(program->data + cells[i]);
		if (*cell > program->data_length)
			return -1;
		*cell += (uint64_t)(uintptr_t)program->data;
	}
	/* After the relocations: sections that overlap may have changed an operation. */
	for (uint32_t i = 0; i < program->op_count; i++)
		if (!op_is_valid(program, &program->ops[i]))
			return -1;
	return 0;
}

static int header_is_valid(const struct header *header)
{
	return header->magic == PROGRAM_MAGIC && header->version == PROGRAM_VERSION &&
	       header->length >= sizeof *header && header->length <= PROGRAM_MAX_BYTES;
}

/* ---- operations ---- */

static int64_t value_of(const struct program *program, const struct op *op, unsigned i)
{
	switch ((op->arg_kinds >> (2 * i)) & 3u) {
	case ARG_DATA:
		return (int64_t)(intptr_t)(program->data + op->arg[i]);
	case ARG_REGISTER:
		return registers[op->arg[i]];
	default:
		return (int64_t)op->arg[i];
	}
}

static void store32(unsigned char *at, int32_t value)
{
	uint32_t bits = (uint32_t)value;
	for (unsigned i = 0; i < 4; i++)
		at[i] = (unsigned char)(bits >> (8 * i));
}

static int32_t load32(const unsigned char *at)
{
	uint32_t bits = 0;
	for (unsigned i = 0; i < 4; i++)
		bits |= (uint32_t)at[i] << (8 * i);
	return (int32_t)bits;
}

/* Writes the decimal of `value` and a NUL; returns the length without it. `to` has 21 bytes. */
static unsigned itoa(unsigned char *to, int64_t value)
{
	unsigned char digits[20];
	unsigned count = 0, length = 0;
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	do
		digits[count++] = (unsigned char)('0' + rest % 10);
	while ((rest /= 10) != 0);
	if (value < 0)
		to[length++] = '-';
	while (count > 0)
		to[length++] = digits[--count];
	to[length] = 0;
	return length;
}

static long check_cwd(void)
{
	char path[4096];
	long length = call(NR_getcwd, (long)path, sizeof path, 0, 0, 0, 0);
	if (length < 0)
		return length;
	return path[0] == '/' ? 0 : -ENOENT; /* "(unreachable)…": a descriptor led out of the root (CVE-2024-21626) */
}

static int status_code(int status)
{
	int signal = status & 0x7f;
	return signal != 0 ? 128 + signal : (status >> 8) & 0xff;
}

/* ---- the parent ---- */

struct poll_fd {
	int32_t fd;
	int16_t events;
	int16_t revents;
};

/* The kernel's struct rusage: only the first three are read. */
struct usage {
	int64_t user_s, user_us, system_s, system_us, max_rss, rest[13];
};

struct supervisor {
	int64_t pid, pidfd, sync, exit_file;
	int attached, control_open, sync_open;
};

/* From the child: 'R' = it waits for GO. The end of the stream = it closed on exec (or died, and has said why). */
static void hear_child(struct supervisor *s, int64_t pty)
{
	unsigned char byte;
	long n = retry(NR_recvfrom, s->sync, (long)&byte, 1, MSG_DONTWAIT, 0, 0);
	if (n == 1) {
		report(RECORD_READY, 0, pty);
	} else if (n == 0) {
		report(RECORD_STARTED, 0, 0);
		call(NR_close, s->sync, 0, 0, 0, 0, 0);
		s->sync_open = 0;
	}
}

static void hear_owner(struct supervisor *s)
{
	struct record record;
	long n = retry(NR_recvfrom, CONTROL_FD, (long)&record, sizeof record, MSG_WAITALL, 0, 0);
	if (n != sizeof record) {
		s->control_open = 0;
		if (s->attached)
			call(NR_pidfd_send_signal, s->pidfd, SIGKILL, 0, 0, 0, 0);
		return;
	}
	if (record.type == RECORD_GO && s->sync_open)
		retry(NR_write, s->sync, (long)"G", 1, 0, 0, 0);
	else if (record.type == RECORD_SIGNAL)
		call(NR_pidfd_send_signal, s->pidfd, record.a, 0, 0, 0, 0);
	else if (record.type == RECORD_DETACH)
		s->attached = 0;
}

/* "CODE SIGNAL SECONDS NANOSECONDS\n", in one write to a file that was opened at the start. */
static void write_exit_file(int64_t fd, int status)
{
	int64_t now[2] = {0, 0};
	unsigned char line[4 * 21 + 1];
	unsigned length = 0;
	call(NR_clock_gettime, 0, (long)now, 0, 0, 0, 0);
	const int64_t words[4] = {status_code(status), status & 0x7f, now[0], now[1]};
	for (unsigned i = 0; i < 4; i++) {
		length += itoa(line + length, words[i]);
		line[length++] = i < 3 ? ' ' : '\n';
	}
	retry(NR_write, fd, (long)line, length, 0, 0, 0);
}

/*
 * The owner says RELEASE when it has cleaned up behind the container: then nothing here is ours any more, for the next
 * container of that name may have begun. The end of the channel is the end of the owner, and the program goes on with
 * what has to be cleaned up.
 */
static void wait_for_owner(void)
{
	struct record record;
	while (retry(NR_recvfrom, CONTROL_FD, (long)&record, sizeof record, MSG_WAITALL, 0, 0) == sizeof record)
		if (record.type == RECORD_RELEASE)
			stop(0);
}

static void end_supervision(struct supervisor *s)
{
	int status = 0;
	struct usage usage;
	long n = retry(NR_wait4, s->pid, (long)&status, 0, (long)&usage, 0, 0);
	if (n != s->pid)
		stop(125);
	if (s->sync_open)
		hear_child(s, -1);
	if (s->exit_file >= 0)
		write_exit_file(s->exit_file, status);
	uint64_t user_ms = (uint64_t)usage.user_s * 1000 + (uint64_t)usage.user_us / 1000;
	uint64_t system_ms = (uint64_t)usage.system_s * 1000 + (uint64_t)usage.system_us / 1000;
	report(RECORD_USAGE, (int32_t)usage.max_rss, (int64_t)(user_ms << 32 | (system_ms & 0xffffffffu)));
	report(RECORD_EXITED, status, 0);
	if (s->control_open)
		wait_for_owner();
}

/* Only the parent reads descriptor 3 from here on: two readers of one socket steal each other's records. */
static void supervise(struct supervisor *s, int64_t pty)
{
	for (;;) {
		struct poll_fd fds[3];
		fds[0].fd = s->sync_open ? (int32_t)s->sync : -1;
		fds[1].fd = s->control_open ? CONTROL_FD : -1;
		fds[2].fd = (int32_t)s->pidfd;
		for (unsigned i = 0; i < 3; i++) {
			fds[i].events = POLLIN;
			fds[i].revents = 0;
		}
		if (retry(NR_ppoll, (long)fds, 3, 0, 0, 8, 0) < 0)
			stop(125);
		if (fds[0].revents != 0)
			hear_child(s, pty);
		if (fds[1].revents != 0)
			hear_owner(s);
		if (fds[2].revents != 0) {
			end_supervision(s);
			return;
		}
	}
}

/* ---- pid 1 of the container, with --init ---- */

/* All signals are blocked here: blocked ones are queued even for pid 1, which ignores signals without a handler. */
static _Noreturn void init(int64_t main_pid)
{
	const uint64_t all = ~(uint64_t)0;
	for (;;) {
		long signal = retry(NR_rt_sigtimedwait, (long)&all, 0, 0, 8, 0, 0);
		if (signal < 0)
			stop(125);
		if (signal != SIGCHLD) {
			call(NR_kill, main_pid, signal, 0, 0, 0, 0);
			continue;
		}
		for (;;) {
			int status = 0;
			long pid = call(NR_wait4, -1, (long)&status, WNOHANG, 0, 0, 0);
			if (pid <= 0)
				break;
			if (pid == main_pid)
				stop(status_code(status));
		}
	}
}

/* ---- the loop ---- */

static long perform(const struct program *program, const struct op *op, int64_t index)
{
	int64_t arg[6];
	for (unsigned i = 0; i < 6; i++)
		arg[i] = value_of(program, op, i);

	switch (op->kind) {
	case KIND_SYSCALL:
		return retry(op->number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	case KIND_LOAD32:
		return load32(program->data + op->arg[0]);
	case KIND_STORE32:
		store32(program->data + op->arg[0], (int32_t)arg[1]);
		return 0;
	case KIND_ITOA:
		return itoa(program->data + op->arg[0], arg[1]);
	case KIND_REPORT:
		report((uint32_t)arg[0], (int32_t)arg[1], arg[2]);
		return 0;
	case KIND_SUPERVISE: {
		struct supervisor s = {arg[0], arg[1], arg[2], arg[3], 1, 1, 1};
		supervise(&s, arg[4]);
		return 0;
	}
	case KIND_INIT:
		init(arg[0]);
	case KIND_CWDCHECK:
		return check_cwd();
	default: /* KIND_EXIT */
		if (arg[0] != 0)
			report(RECORD_FAILED, (int32_t)arg[0], index);
		stop(op->exit_code);
	}
}

static int tolerates(const struct op *op, long error)
{
	if ((op->flags & FLAG_TOLERATE_ALL) != 0)
		return 1;
	for (unsigned i = 0; i < 4; i++)
		if (op->tolerate[i] != 0 && op->tolerate[i] == error)
			return 1;
	return 0;
}

static int jumps(const struct op *op, long result)
{
	return (op->flags & FLAG_JUMP_ALWAYS) != 0 || (result > 0 && (op->flags & FLAG_JUMP_POSITIVE) != 0) ||
	       (result < 0 && (op->flags & FLAG_JUMP_NEGATIVE) != 0) ||
	       (result < 0 && (op->flags & FLAG_JUMP_FIRST) != 0 && op->tolerate[0] == -result);
}

static _Noreturn void run(const struct program *program)
{
	for (uint32_t i = 0; i < program->op_count;) {
		const struct op *op = &program->ops[i];
#if defined(LAUNCHER_HOSTED)
		launcher_step();
#endif
		long result = perform(program, op, i);
		/* The error of a value that was only loaded is no error. */
		if (result < 0 && op->kind != KIND_LOAD32 && !tolerates(op, -result))
			fail(i, -result, op->exit_code);
		if (op->dest != NO_REGISTER)
			registers[op->dest] = result;
		i = jumps(op, result) ? op->jump : i + 1;
	}
	fail(program->op_count, EINVAL, 125); /* a program ends by exec, SUPERVISE, INIT or EXIT */
}

static _Noreturn void launch(void)
{
	struct header header;
	struct program program;
	read_all((unsigned char *)&header, sizeof header);
	if (!header_is_valid(&header))
		fail(-1, EINVAL, 125);
	/* PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS */
	long blob = call(NR_mmap, 0, (long)header.length, 3, 0x22, -1, 0);
	if (blob < 0 && blob > -4096)
		fail(-1, -blob, 125);
	unsigned char *bytes = (unsigned char *)blob;
	for (unsigned i = 0; i < sizeof header; i++)
		bytes[i] = ((const unsigned char *)&header)[i];
	read_all(bytes + sizeof header, header.length - sizeof header);
	if (load(&program, bytes, &header) != 0)
		fail(-1, EINVAL, 125);
	run(&program);
}

#if defined(LAUNCHER_HOSTED)
_Noreturn void launcher_run(void)
{
	launch();
}
#else
/* The compiler may ask for it although nothing here calls it. */
void *memset(void *to, int value, unsigned long length)
{
	volatile unsigned char *at = to;
	while (length-- > 0)
		*at++ = (unsigned char)value;
	return to;
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txorl %ebp, %ebp\n\tandq $-16, %rsp\n\tcall launcher_start\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tbl launcher_start\n");
#endif

_Noreturn __attribute__((used)) void launcher_start(void)
{
	launch();
}
#endif
