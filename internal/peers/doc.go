// Package peers tests weir with unmodified programs of others that used to
// speak to the kernel's IPVS: they must not notice. It contains nothing but
// tests; each opens with what it plays.
package peers
