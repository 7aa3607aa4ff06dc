/*
 * Runs the launcher's code on mutated programs, hosted: with ASan and UBSan, and with system calls that touch nothing.
 * Arguments: a program file, a seed, how many programs. Whatever a program says, the launcher stops in an orderly way;
 * anything else is a report of the sanitizers and an exit code that is not 0.
 */
#define LAUNCHER_HOSTED
#include "../../native/launcher.c"

#undef EINTR
#undef EINVAL
#undef ENOENT
#undef SIGKILL
#undef SIGCHLD
#undef WNOHANG
#undef POLLIN
#undef MSG_DONTWAIT
#undef MSG_WAITALL
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_STEPS = 2000,
	FIRST_OP_STEPS = 4 /* two reads and a mmap come before the first operation */
};

static uint64_t state;
static unsigned char *input;
static size_t input_length, input_position;
static unsigned char *mapped;
static unsigned steps;
static jmp_buf stopped;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

_Noreturn void launcher_stop(int status)
{
	(void)status;
	longjmp(stopped, 1);
}

void launcher_step(void)
{
	if (++steps > MAX_STEPS)
		launcher_stop(125);
}

static void fill(void *to, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((unsigned char *)to)[i] = (unsigned char)next_random();
}

static long answer(void)
{
	switch (next_random() % 4) {
	case 0:
		return -(long)(next_random() % 134);
	case 1:
		return 0;
	default:
		return (long)(next_random() % 1000);
	}
}

long launcher_syscall(long number, const long *arg)
{
	launcher_step();
	if (number == NR_read && arg[0] == CONTROL_FD) {
		size_t wanted = (size_t)arg[2], left = input_length - input_position;
		size_t given = wanted < left ? wanted : left;
		memcpy((void *)arg[1], input + input_position, given);
		input_position += given;
		return (long)given;
	}
	if (number == NR_mmap) {
		mapped = calloc(1, (size_t)arg[1]);
		return mapped == NULL ? -12 : (long)mapped;
	}
	if (number == NR_ppoll) {
		struct poll_fd *fds = (struct poll_fd *)arg[0];
		for (long i = 0; i < arg[1]; i++)
			fds[i].revents = (int16_t)(next_random() % 3);
		return 1;
	}
	if (number == NR_recvfrom) {
		fill((void *)arg[1], (size_t)arg[2]);
		return next_random() % 2 == 0 ? arg[2] : 0;
	}
	if (number == NR_wait4) {
		fill((void *)arg[1], sizeof(int));
		if (arg[3] != 0)
			fill((void *)arg[3], 18 * 8);
		return next_random() % 2 == 0 ? arg[0] : 0;
	}
	if (number == NR_getcwd) {
		strcpy((char *)arg[0], next_random() % 2 == 0 ? "/" : "(unreachable)/");
		return 2;
	}
	if (number == NR_clock_gettime) {
		fill((void *)arg[1], 16);
		return 0;
	}
	return answer();
}

static const uint64_t interesting[] = {
	0, 1, 7, 8, 31, 32, 47, 48, 72, 255, 256, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
	0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffff8, 0xffffffffffffffff};

static void mutate(unsigned char *bytes, size_t length)
{
	for (uint64_t count = 1 + next_random() % 8; count > 0; count--) {
		size_t at = next_random() % length;
		/* The header and the first operations see most of it. */
		if (next_random() % 2 == 0)
			at %= 192;
		uint64_t value = interesting[next_random() % (sizeof interesting / sizeof *interesting)];
		switch (next_random() % 4) {
		case 0:
			bytes[at] ^= (unsigned char)(1u << (next_random() % 8));
			break;
		case 1:
			bytes[at] = (unsigned char)next_random();
			break;
		case 2:
			at &= ~(size_t)3;
			memcpy(bytes + at, &value, length - at < 4 ? length - at : 4);
			break;
		default:
			at &= ~(size_t)7;
			memcpy(bytes + at, &value, length - at < 8 ? length - at : 8);
			break;
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	FILE *file = fopen(argv[1], "rb");
	static unsigned char original[1 << 20], mutated[1 << 20];
	if (file == NULL)
		return 2;
	size_t length = fread(original, 1, sizeof original, file);
	fclose(file);
	state = strtoull(argv[2], NULL, 10) | 1;
	unsigned long refused = 0, count = strtoul(argv[3], NULL, 10);
	for (unsigned long i = 0; i < count; i++) {
		memcpy(mutated, original, length);
		/* The first one is the program as it is: it must run. */
		if (i > 0)
			mutate(mutated, length);
		input = mutated;
		input_length = i > 0 && next_random() % 16 == 0 ? next_random() % length : length;
		input_position = 0;
		mapped = NULL;
		steps = 0;
		if (setjmp(stopped) == 0)
			launcher_run();
		if (i == 0 && steps < FIRST_OP_STEPS)
			return 3;
		refused += steps < FIRST_OP_STEPS;
		free(mapped);
	}
	printf("%lu programs, %lu refused early\n", count, refused);
	return 0;
}
