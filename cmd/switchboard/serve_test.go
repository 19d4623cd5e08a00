package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestServeRunsUntilItIsStopped(t *testing.T) {
	s := newShell(t)
	port := freePorts(t, 1)
	listen := "127.0.0.1:" + strconv.Itoa(port)
	b := start(t, s.env, "serve", "--listen", listen, "--metrics-listen", "127.0.0.1:"+strconv.Itoa(port+metricsAbove), "--drain", "0s", "--log-format", "json")
	b.wait("the node to be ready", func() bool { return get(t, "http://"+listen+"/readyz") == http.StatusOK })
	if code := get(t, "http://127.0.0.1:"+strconv.Itoa(port+metricsAbove)+"/metrics"); code != http.StatusOK {
		t.Errorf("metrics answer %d", code)
	}
	if code := get(t, "http://"+listen+"/metrics"); code == http.StatusOK {
		t.Error("metrics stand on the people's listener")
	}
	if code := b.end(); code != exitOK {
		t.Errorf("exit %d: %s", code, b.errs.String())
	}
	for _, line := range strings.Split(strings.TrimSpace(b.errs.String()), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("a log line is no JSON: %s", line)
		}
	}
}

func TestServeSaysWhyItCannotStart(t *testing.T) {
	s := newShell(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s.refused(exitFailed, "listen on "+taken.Addr().String(), "", "serve --log-level error --metrics-listen= --listen "+taken.Addr().String())
	s.currentKey() // seals the first key with this shell's master key
	other := filepath.Join(t.TempDir(), "other")
	s.do("", "key new --key-file "+other)
	s.refused(exitFailed, "another master key", "", "serve --log-level error --metrics-listen= --listen 127.0.0.1:0 --key-file "+other)
	s.env = append(s.env, "SWITCHBOARD_REDIS=redis://127.0.0.1:1")
	s.refused(exitFailed, "no Redis answers there", "", "serve --log-level error --metrics-listen= --listen 127.0.0.1:0")
}

func TestServeWithoutRedisRunsOneOfItsOwn(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := &shell{t: t}
	s.do("", "company add --name Acme --data "+data)
	listen := "127.0.0.1:" + strconv.Itoa(freePorts(t, 1))
	b := start(t, nil, "serve", "--listen", listen, "--metrics-listen=", "--drain", "0s", "--data", data, "--log-level", "error")
	b.wait("the node to be ready", func() bool { return get(t, "http://"+listen+"/readyz") == http.StatusOK })
	if out := s.do("", "company list --data "+data); !strings.Contains(out, "Acme") {
		t.Errorf("a command beside the node sees %q", out)
	}
	_, errs, code := s.try("", "serve", "--listen", "127.0.0.1:0", "--metrics-listen=", "--data", data, "--log-level", "error")
	if code != exitFailed || !strings.Contains(errs, "in use by another Switchboard") {
		t.Errorf("a second node on the folder: exit %d: %s", code, errs)
	}
	if code := b.end(); code != exitOK {
		t.Errorf("exit %d: %s", code, b.errs.String())
	}
}

var ticketLink = regexp.MustCompile(`(http://[0-9.:]+)/(console|supervisor)/#ticket=([A-Za-z0-9_-]{43})`)

func TestDemoPrintsLinksThatSignInOnce(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	port := freePorts(t, 2)
	demo := func() *background {
		return start(t, nil, "demo", "--nodes", "2", "--port", strconv.Itoa(port), "--data", data, "--drain", "0s")
	}
	b := demo()
	b.wait("the links", func() bool { return strings.Contains(b.out.String(), "Press Enter") })
	first := b.out.String()
	all := ticketLink.FindAllStringSubmatch(first, -1)
	if len(all) != 5 || strings.Count(first, "/demo/?org=") != 2 || strings.Count(first, "/supervisor/") != 1 {
		t.Fatalf("%d people in %s", len(all), first)
	}
	nodes := map[string]bool{}
	for _, link := range all {
		nodes[link[1]] = true
		if code := signIn(t, link); code != http.StatusOK {
			t.Errorf("%s: %d", link[0], code)
		}
		if code := signIn(t, link); code != http.StatusUnauthorized {
			t.Errorf("a second time: %d", code)
		}
	}
	if len(nodes) != 2 {
		t.Errorf("people are on %v", nodes)
	}
	if _, err := b.in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	b.wait("fresh links", func() bool { return strings.Count(b.out.String(), "Northwind Shop") == 2 })
	s := &shell{t: t}
	more := ticketLink.FindAllStringSubmatch(s.do("", "demo links --data "+data), -1)
	if len(more) != 5 || more[0][3] == all[0][3] {
		t.Fatalf("demo links gives %v", more)
	}
	if code := signIn(t, more[0]); code != http.StatusOK {
		t.Errorf("%s: %d", more[0][0], code)
	}
	if code := b.end(); code != exitOK || b.errs.String() != "" {
		t.Errorf("exit %d: %s", code, b.errs.String())
	}

	// Once more: the same people, nobody twice.
	b = demo()
	b.wait("the links", func() bool { return strings.Contains(b.out.String(), "Press Enter") })
	if got, want := ticketLink.ReplaceAllString(b.out.String(), ""), ticketLink.ReplaceAllString(first, ""); got != want {
		t.Errorf("the second demo is another one:\n%s\n%s", got, want)
	}
	if code := b.end(); code != exitOK {
		t.Errorf("exit %d: %s", code, b.errs.String())
	}
	if out := s.do("", "company list --data "+data); strings.Count(out, "Northwind") != 1 {
		t.Errorf("the demo company is there more than once: %s", out)
	}
	s.refused(exitFailed, "no demo runs on the data folder", "", "demo links --data "+data)
}

func TestDemoInMemoryServesWithoutRedisServer(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	port := freePorts(t, 1)
	data := filepath.Join(t.TempDir(), "data")
	s := &shell{t: t}
	_, errs, code := s.try("", "demo", "--port", strconv.Itoa(port), "--data", data)
	if code != exitFailed || !strings.Contains(errs, "redis-server was not found") || !strings.Contains(errs, "--demo") {
		t.Errorf("without redis-server: exit %d: %s", code, errs)
	}
	s.refused(exitUsage, "serves one node", "", "demo --demo --nodes 2")
	b := start(t, nil, "demo", "--demo", "--port", strconv.Itoa(port), "--data", data, "--drain", "0s")
	b.wait("the links", func() bool { return strings.Contains(b.out.String(), "Press Enter") })
	if !strings.Contains(b.out.String(), "DEMO STORE") {
		t.Error("nothing says that nothing survives")
	}
	for _, link := range ticketLink.FindAllStringSubmatch(b.out.String(), -1) {
		if code := signIn(t, link); code != http.StatusOK {
			t.Errorf("%s: %d", link[0], code)
		}
	}
	if code := b.end(); code != exitOK || b.errs.String() != "" {
		t.Errorf("exit %d: %s", code, b.errs.String())
	}
}

func TestDemoTellsOfABusyPortBeforeItStartsAnything(t *testing.T) {
	port := freePorts(t, 2)
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+1))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := filepath.Join(t.TempDir(), "data")
	s := &shell{t: t}
	s.refused(exitFailed, "127.0.0.1:"+strconv.Itoa(port+1)+" is in use", "", "demo --nodes 2 --port "+strconv.Itoa(port)+" --data "+data)
	s.refused(exitFailed, "make run PORT=", "", "demo --nodes 2 --port "+strconv.Itoa(port)+" --data "+data)
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data folder was touched: %v", err)
	}
}

var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// get returns the status of an address, 0 when nobody answers.
func get(t *testing.T, address string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// signIn spends the ticket of a link on its node.
func signIn(t *testing.T, link []string) int {
	t.Helper()
	answer, err := client.Post(link[1]+"/v1/session", "application/json", strings.NewReader(`{"ticket":"`+link[3]+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
