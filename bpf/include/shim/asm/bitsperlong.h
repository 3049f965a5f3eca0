/* The BPF target has no architecture of its own: the generic one will do. */
#include <asm-generic/bitsperlong.h>
