package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	s := &shell{t: t, env: []string{"SWITCHBOARD_LOG_LEVEL=loud"}}
	_, errs, code := s.try("", "serve", "--listen", "here", "--drain", "soon", "--redis", "http://x", "--trusted-proxies", "10.0.0.0/8,nonsense", "--limit-frames", "-1", "extra")
	if code != exitUsage {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"--listen:", "--drain:", "--redis:", "--trusted-proxies:", "--limit-frames:", "SWITCHBOARD_LOG_LEVEL:", `unexpected argument "extra"`} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q lacks %q", errs, want)
		}
	}
	s.refused(exitUsage, "--key-file (SWITCHBOARD_KEY_FILE) is needed", "", "serve --redis redis://127.0.0.1:1")
	s.refused(exitUsage, "cannot be read", "", "serve --redis redis://127.0.0.1:1 --key-file /nowhere")
	s.refused(exitUsage, "--name: this flag is needed", "", "company add")
	s.refused(exitUsage, "not defined: -bogus", "", "company add --bogus 1")
	s.refused(exitUsage, `there is no command "compny add"`, "", "compny add")
}

func TestFlagsWinOverTheEnvironmentAndThatOverDefaults(t *testing.T) {
	s := &shell{t: t, env: []string{"SWITCHBOARD_LISTEN=:1", "SWITCHBOARD_METRICS_LISTEN=:2", "SWITCHBOARD_REDS=typo"}}
	out, errs, code := s.try("", "check-config", "--listen", ":3")
	if code != exitOK {
		t.Fatal(errs)
	}
	for _, want := range [][]string{{"listen", ":3", "flag"}, {"metrics-listen", ":2", "environment"}, {"drain", "10s", "default"}, {"redis", "-", "default"}} {
		found := false
		for _, line := range strings.Split(out, "\n") {
			found = found || strings.Join(strings.Fields(line), " ") == strings.Join(want, " ")
		}
		if !found {
			t.Errorf("no line %v in\n%s", want, out)
		}
	}
	if !strings.Contains(errs, "SWITCHBOARD_REDS is not a setting") {
		t.Errorf("a mistyped variable goes unnoticed: %q", errs)
	}
}

func TestCheckConfigShowsNoSecret(t *testing.T) {
	s := newShell(t)
	for _, address := range []string{
		"redis://user:hunter2@127.0.0.1:6379/0", "redis://:hunter2@127.0.0.1:6379",
		"rediss-cluster://user:hunter2@a:1,b:2", "redis-sentinel://u:hunter2@a:1,b:2/0?master_name=m",
		"redis://user:hunt@hunter2@127.0.0.1:6379",
	} {
		s.env = append(s.env, "SWITCHBOARD_REDIS="+address)
		out, errs, _ := s.try("", "check-config")
		if strings.Contains(out+errs, "hunter2") {
			t.Errorf("%s: the password is shown: %s%s", address, out, errs)
		}
	}
	// An address that cannot be read must not be repeated either.
	_, errs, code := s.try("", "check-config", "--redis", "redis://user:hunter2@127.0.0.1:port")
	if code != exitUsage || strings.Contains(errs, "hunter2") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestRedisAddressesBecomeClientsWithTheMeasuredSettings(t *testing.T) {
	type settings struct {
		protocol, retries, dials int
		contexts                 bool
		dial, read               time.Duration
	}
	want := settings{2, -1, 1, true, 500 * time.Millisecond, time.Second}
	for _, address := range []string{
		"redis://127.0.0.1:6379/3", "rediss://127.0.0.1:6380", "unix:///tmp/redis.sock",
		"redis-sentinel://u:p@a:1,b:2,c:3/1?master_name=m", "rediss-sentinel://a:1?master_name=m",
		"redis-cluster://u:p@a:1,b:2,c:3", "rediss-cluster://a:1",
	} {
		open, err := parseRedis(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		rdb := open()
		var got settings
		var tls bool
		switch c := rdb.(type) {
		case *redis.Client:
			o := c.Options()
			got, tls = settings{o.Protocol, o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled, o.DialTimeout, o.ReadTimeout}, o.TLSConfig != nil
			got.retries = retriesAsGiven(got.retries)
			if strings.Contains(address, "sentinel") && o.Addr != "FailoverClient" {
				t.Errorf("%s: not a Sentinel client: %s", address, o.Addr)
			}
		case *redis.ClusterClient:
			o := c.Options()
			got, tls = settings{o.Protocol, o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled, o.DialTimeout, o.ReadTimeout}, o.TLSConfig != nil
			got.retries = retriesAsGiven(got.retries)
			if o.ClusterStateReloadInterval != time.Second {
				t.Errorf("%s: reloads every %v", address, o.ClusterStateReloadInterval)
			}
			if strings.Contains(address, "c:3") && strings.Join(o.Addrs, " ") != "a:1 b:2 c:3" {
				t.Errorf("%s: hosts %v", address, o.Addrs)
			}
		}
		if got != want || tls != strings.HasPrefix(address, "rediss") {
			t.Errorf("%s: %+v, tls %v", address, got, tls)
		}
		if err := rdb.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, address := range []string{"", "localhost:6379", "http://x", "redis-ring://a:1", "redis-sentinel://a:1", "redis://host:port", "unix-cluster:///x"} {
		if _, err := parseRedis(address); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
}

// retriesAsGiven undoes that go-redis stores "none" as 0.
func retriesAsGiven(n int) int {
	if n == 0 {
		return noRetries
	}
	return n
}

func TestMasterKeyFiles(t *testing.T) {
	dir := t.TempDir()
	s := &shell{t: t}
	path := filepath.Join(dir, "key")
	s.do("", "key new --key-file "+path)
	key, err := readMaster(path)
	if err != nil || len(key) != 32 || bytes.Equal(key, make([]byte, 32)) {
		t.Fatalf("%x %v", key, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	s.refused(exitFailed, "exists already", "", "key new --key-file "+path)
	for _, form := range []string{string(key), hex.EncodeToString(key) + "\n", base64.StdEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key) + "\r\n"} {
		if got, err := parseMaster([]byte(form)); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%q: %x %v", form, got, err)
		}
	}
	for _, form := range []string{"", "short", hex.EncodeToString(key[:31]), strings.Repeat("x", 33)} {
		if _, err := parseMaster([]byte(form)); err == nil {
			t.Errorf("%q was taken", form)
		}
	}
}

func TestEveryCommandHasHelpAndNoneTakesASecret(t *testing.T) {
	for _, c := range commands() {
		s := &shell{t: t}
		out, errs, code := s.try("", append(strings.Split(c.name, " "), "-help")...)
		if code != exitOK || errs != "" || !strings.Contains(out, c.about) {
			t.Errorf("%s -help: exit %d: %s%s", c.name, code, out, errs)
		}
		f := newFlags(c)
		c.setup(f)
		for _, e := range f.all {
			if strings.Contains(e.name, "secret") && e.name != "secret-file" || strings.Contains(e.name, "password") {
				t.Errorf("%s takes a secret by --%s", c.name, e.name)
			}
			if e.usage == "" {
				t.Errorf("%s: --%s says nothing of itself", c.name, e.name)
			}
		}
	}
}
