// Package vrrp speaks the Virtual Router Redundancy Protocol: version 3 of RFC
// 9568 and version 2 of RFC 3768. It decides which of several directors holds
// the addresses of a virtual router.
//
// Three parts: the packet (advert.go), the protocol as a pure step (router.go:
// a state and an event give a state and actions), and a runner that owns the
// clock (runner.go). It opens no socket and moves no address: it is handed an
// Air to send through, is told what was heard, and tells what has become.
package vrrp
