// count counts lines, words and bytes as wc does, several files at a time. It
// stands for the small static tools of C that people keep in containers.
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct job {
	const char *name;
	long lines, words, bytes;
	int error;
};

static void *count(void *arg)
{
	struct job *j = arg;
	FILE *f = strcmp(j->name, "-") ? fopen(j->name, "r") : stdin;
	if (!f) {
		j->error = errno;
		return NULL;
	}
	int c, inside = 0;
	while ((c = getc(f)) != EOF) {
		j->bytes++;
		j->lines += c == '\n';
		if (!isspace(c) && !inside)
			j->words++;
		inside = !isspace(c);
	}
	if (ferror(f))
		j->error = errno;
	if (f != stdin)
		fclose(f);
	return NULL;
}

static void usage(FILE *to)
{
	fputs("usage: count [-l] [-w] [-c] [-d] [-j] [-o FILE] [FILE...]\n"
	      "  -l, --lines        print the lines only\n"
	      "  -w, --words        print the words only\n"
	      "  -c, --bytes        print the bytes only\n"
	      "  -d, --date         print when each file was changed\n"
	      "  -j, --parallel     count every file in a thread of its own\n"
	      "  -o, --output=FILE  write to FILE\n"
	      "  -h, --help         print this\n",
	      to);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"lines", no_argument, 0, 'l'},     {"words", no_argument, 0, 'w'},
		{"bytes", no_argument, 0, 'c'},     {"date", no_argument, 0, 'd'},
		{"parallel", no_argument, 0, 'j'},  {"output", required_argument, 0, 'o'},
		{"help", no_argument, 0, 'h'},      {0},
	};
	int lines = 0, words = 0, bytes = 0, date = 0, parallel = 0, opt, status = 0;
	while ((opt = getopt_long(argc, argv, "lwcdjo:h", longs, NULL)) != -1) {
		switch (opt) {
		case 'l': lines = 1; break;
		case 'w': words = 1; break;
		case 'c': bytes = 1; break;
		case 'd': date = 1; break;
		case 'j': parallel = 1; break;
		case 'o':
			if (!freopen(optarg, "w", stdout)) {
				fprintf(stderr, "count: %s: %s\n", optarg, strerror(errno));
				return 1;
			}
			break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (!lines && !words && !bytes)
		lines = words = bytes = 1;

	int n = argc > optind ? argc - optind : 1;
	struct job *jobs = calloc(n, sizeof *jobs);
	pthread_t *threads = calloc(n, sizeof *threads);
	if (!jobs || !threads)
		return 1;
	for (int i = 0; i < n; i++)
		jobs[i].name = argc > optind ? argv[optind + i] : "-";
	for (int i = 0; i < n; i++)
		if (!parallel || pthread_create(&threads[i], NULL, count, &jobs[i]))
			count(&jobs[i]);
	for (int i = 0; i < n; i++) {
		struct stat st;
		char when[32] = "";
		if (threads[i])
			pthread_join(threads[i], NULL);
		if (jobs[i].error) {
			fprintf(stderr, "count: %s: %s\n", jobs[i].name, strerror(jobs[i].error));
			status = 1;
			continue;
		}
		if (lines)
			printf("%7ld ", jobs[i].lines);
		if (words)
			printf("%7ld ", jobs[i].words);
		if (bytes)
			printf("%7ld ", jobs[i].bytes);
		if (date && !stat(jobs[i].name, &st) && strftime(when, sizeof when, "%F %T ", localtime(&st.st_mtime)))
			fputs(when, stdout);
		puts(jobs[i].name);
	}
	return status;
}
