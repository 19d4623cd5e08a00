//go:build unix && !linux

package redisd

import "syscall"

// childAttributes gives the child a process group of its own, so that Ctrl-C in
// a terminal does not end Redis before the nodes have said goodbye. There is no
// parent-death signal here: the next Start shuts an orphan down.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
