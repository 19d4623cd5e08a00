//go:build !linux

package main

import "syscall"

// diesWithParent cannot be arranged here: a killed loadtest leaves its children.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
