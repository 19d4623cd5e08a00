package main

import "syscall"

// diesWithParent has the kernel end a child when the thread that started it
// ends. No goroutine of this program ends while locked to its thread, so the
// threads live as long as the process.
func diesWithParent() *syscall.SysProcAttr {
	// A group of its own: an interrupt from the terminal is for loadtest, which
	// then stops its children in order.
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
