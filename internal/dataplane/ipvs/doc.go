// Package ipvs keeps the promises of package dataplane with the kernel's own
// IPVS: it speaks the kernel's IPVS family of generic netlink, edits the table
// towards what is wished, and reads table, counters and connections back.
//
// It is the only room that knows genetlink. The table is not weir's alone: the
// real ipvsadm may change it at any time, so the room looks before each change
// and remembers in a file which services and settings are weir's doing. It
// forwards no packet itself and never knows why a table looks as it does.
package ipvs
