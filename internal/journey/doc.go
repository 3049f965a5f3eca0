// Package journey holds tests of whole programs with each other: weir, as a
// person starts it, in front of servers that people run, in a cluster of
// network namespaces. It contains nothing but tests, and asks weir for nothing
// that a person could not ask.
package journey
