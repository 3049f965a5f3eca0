// Package ebpf keeps the promises of package dataplane with an eBPF packet
// engine: it loads the programs, writes wished services into their maps, reads
// counters and connections back, and has outlived connections forgotten.
//
// It is the only room that knows cilium/ebpf and the layout of the maps. It
// never knows why a table looks as it does.
package ebpf
