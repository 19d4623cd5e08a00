package redisd

import "syscall"

// childAttributes ends the child with its parent. SIGKILL, because Redis in the
// middle of a long script does not act on SIGTERM, and nothing acknowledged is
// lost by it. The process group of its own keeps Ctrl-C in a terminal from
// ending Redis before the nodes have said goodbye.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
