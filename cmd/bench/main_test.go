package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A-16 has its bound in bench routing (decision time with 100 and with 20,000 operators).
// The benches run, small, as they do by hand: own Redis, own processes. What is
// not a matter of time is judged: nothing acked is lost, nobody loses a socket.
func TestBenchesRun(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, figure := range map[string]string{"idle": "{T}:own", "fanout": "watchers who lost their socket", "chat": "messages acked and not seen", "storm": "of the unaffected that were lost", "logout": "sockets closed when the calls have ended",
		"routing": "operators over their limit, chats lost or held twice"} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, binary, name, "-small", "-settle", "1s").CombinedOutput()
			if err != nil || !strings.Contains(string(out), figure) {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}
