// Package bench measures weir: what a packet costs, what memory a connection
// takes, how long a change takes, and how that compares with the kernel's IPVS
// and with what people would use instead. It says its figures in a table, in
// docs/benchmarks.md and in plots.
//
// It measures the programs as they are and adds nothing to them. It compares
// only what was measured in one run, since machines differ and are noisy, and
// looks before each measurement whether the program did what the row says. It
// is no part of weir the program.
package bench
