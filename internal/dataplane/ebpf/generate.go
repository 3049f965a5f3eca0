package ebpf

// The doors' objects: one for tc, one for XDP. They are the same on every little-
// or big-endian machine; all are committed, so that building weir needs no clang.
//
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel,bpfeb -no-global-types -type addr -type service_key -type service -type set -type slot -type dest -type live -type group -type membership -type overload -type dest_stats -type macs -type nexthop -type port -type conn4 -type conn6 -type bucket4 -type bucket6 -type settings -type filter -type use -type wide -type wide_bucket -type rule -type sweep -type frag_key -type frag -type trace -type trace_log -type verdict -type step -type scheduler -type table engine ../../../bpf/weir.bpf.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../../../bpf/include -I../../../bpf/include/shim
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel,bpfeb -no-global-types engineXDP ../../../bpf/weir.bpf.c -- -DDOOR_XDP -O2 -g -Wall -Werror -Wno-unused-function -mcpu=v3 -I../../../bpf/include -I../../../bpf/include/shim
