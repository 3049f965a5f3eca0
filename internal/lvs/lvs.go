// Package lvs holds the nouns of Linux Virtual Server: services, their
// destinations, schedulers, forwarding methods, connections, checks, verdicts
// and the snapshot of all of them, with the way each is written and compared.
//
// It is plain values and plain functions. It never touches the system: no
// sockets, no files, no clock, no logger, and it imports none of weir's other
// rooms. The text form of everything is ipvsadm's own notation
// (-A -t 192.0.2.1:80 -s wlc), because that is what people of the field read.
package lvs
