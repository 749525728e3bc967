/* Each option asks for another call, whatever the input. */
#include <getopt.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"ask", 0, 0, 'a'},  {"bonus", 0, 0, 'b'}, {"calm", 0, 0, 'c'}, {"dir", 1, 0, 'd'},
		{"early", 0, 0, 'e'}, {"form", 1, 0, 'f'},  {"help", 0, 0, 'h'}, {0},
	};
	struct itimerval t;
	for (int o; (o = getopt_long(argc, argv, "abcd:ef:h", longs, 0)) != -1;)
		switch (o) {
		case 'a': getppid(); break;
		case 'b': getsid(0); break;
		case 'c': getpriority(PRIO_PROCESS, 0); break;
		case 'd': mkdir(optarg, 0700); break;
		case 'e': getitimer(ITIMER_REAL, &t); break;
		case 'f': umask(022); break;
		case 'h':
			puts("usage: options [OPTION]... [FILE]\n"
			     "  -a, --ask        ask\n"
			     "  -b, --bonus      more\n"
			     "  -c, --calm       less\n"
			     "  -d, --dir=DIR    make DIR\n"
			     "  -e, --early      sooner\n"
			     "  -f, --form=WORD  as WORD says\n"
			     "  -h, --help       this");
			return 0;
		default: return 2;
		}
	return 0;
}
