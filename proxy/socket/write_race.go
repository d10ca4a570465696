//go:build race

package socket

import "syscall"

// write tells the race detector that who reads comes after who writes.
func write(fd uintptr, b []byte) (int, error) { return syscall.Write(int(fd), b) }
