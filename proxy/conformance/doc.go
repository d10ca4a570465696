// Package conformance shows from outside, on the wire, that the gateway can be trusted:
// raw bytes in, and what a recording origin got of them. It has tests only, and they use
// the gateway as its binary does: a file of rules, a proxy, a listener.
package conformance
