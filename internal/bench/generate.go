package bench

// As in dataplane/ebpf: all objects are committed.
//
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel,bpfeb -no-global-types -type dispatch -type course dispatcher ../../bpf/bench.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../../bpf/include -I../../bpf/include/shim
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel,bpfeb -no-global-types anatomy ../../bpf/anatomy.bpf.c -- -DDOOR_XDP -O2 -g -Wall -Werror -Wno-unused-function -mcpu=v3 -I../../bpf/include -I../../bpf/include/shim
