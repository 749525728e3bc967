#include <string.h>

int library(const char *text) { return strstr(text, "needle") != 0; }
