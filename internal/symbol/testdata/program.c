/* Two functions; offsets of their last instructions are the tests' places. */
int called(int x) { return x * 3; }

__attribute__((noinline)) static int hidden(int x) { return called(x) + 1; }

int main(int argc, char **argv) { return hidden(argc) == 0; }
