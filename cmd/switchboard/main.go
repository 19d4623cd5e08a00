// Command switchboard runs a node of the live layer of a support desk, shows a
// demo of it, and manages the accounts in its store.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameStop is how close two signals are one wish: a shell, make and a
// supervisor may each pass on the same Ctrl-C.
const sameStop = time.Second

func main() {
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		first := time.Now()
		stop() // the graceful end
		for range signals {
			if time.Since(first) > sameStop {
				os.Exit(130) // somebody does not want to wait
			}
		}
	}()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
