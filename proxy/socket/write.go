//go:build !race

package socket

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func write(fd uintptr, b []byte) (int, error) {
	n, _, e := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
