package main

import "syscall"

// diesWithParent has the kernel end a child when the thread that started it
// ends; family keeps that thread.
func diesWithParent() *syscall.SysProcAttr {
	// A group of its own: an interrupt from the terminal is for loadtest, which
	// then stops its children in order.
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
