/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The BPF target has no architecture of its own: the generic types will do. */
#include <asm-generic/types.h>
