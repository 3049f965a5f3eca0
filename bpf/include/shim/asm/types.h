/* The BPF target has no architecture of its own: the generic types will do. */
#include <asm-generic/types.h>
