package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/gateway"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/presence/redisd"
)

// site is a Redis with one company, and the nodes on it.
type site struct {
	b        *bench
	dir      string
	server   *redisd.Server
	rdb      *redis.Client
	accounts *accounts.Store
	reg      *presence.Registry
	company  accounts.Company
	tokens   *gateway.Tokens
}

// masterKey seals the signing key of a store that lives for one run.
var masterKey = []byte("0123456789abcdef0123456789abcdef")

func newSite(ctx context.Context, b *bench) (*site, error) {
	dir, err := os.MkdirTemp("", "sbbench")
	if err != nil {
		return nil, err
	}
	b.ends = append(b.ends, func() { os.RemoveAll(dir) })
	s := &site{b: b, dir: dir}
	if s.server, err = redisd.Start(ctx, redisd.Options{Append: true}); err != nil {
		return nil, err
	}
	b.ends = append(b.ends, func() { s.server.Stop() })
	s.rdb = redis.NewClient(s.server.Options())
	if s.accounts, err = accounts.Open(s.rdb, masterKey); err != nil {
		return nil, err
	}
	if s.reg, err = presence.Open(ctx, s.rdb, presence.Config{Admin: true}); err != nil {
		return nil, err
	}
	s.tokens = gateway.NewTokens(s.accounts.SigningKey, s.accounts.VerificationKey)
	s.company, err = s.accounts.AddCompany(ctx, "Bench")
	return s, err
}

// people is an organization with n operators and their tokens.
type people struct {
	org    switchboard.OrgID
	team   switchboard.TeamID
	ids    []switchboard.OperatorID
	tokens []string
}

func (s *site) organization(ctx context.Context, name string, operators, limit int) (p people, err error) {
	org, err := s.accounts.AddOrganization(ctx, accounts.Organization{Company: s.company.ID, Name: name, Slug: name})
	if err != nil {
		return p, err
	}
	p.org = org.ID
	if err := s.reg.EnsureOrg(ctx, org.ID); err != nil {
		return p, err
	}
	if p.team, err = s.accounts.NextTeam(ctx); err != nil {
		return p, err
	}
	if err := s.reg.PutTeam(ctx, org.ID, presence.Team{ID: p.team, Name: "Bench", AutoAccept: true}); err != nil {
		return p, err
	}
	for len(p.tokens) < operators {
		n := min(250, operators-len(p.tokens))
		first, err := s.accounts.NextOperators(ctx, n)
		if err != nil {
			return p, err
		}
		if err := s.accounts.BindOperators(ctx, org.ID, first, n); err != nil {
			return p, err
		}
		list := make([]presence.NewOperator, n)
		for i := range list {
			list[i] = presence.NewOperator{ID: first + switchboard.OperatorID(i), Name: "Operator " + strconv.Itoa(i), Role: switchboard.RoleOperator, Limit: limit,
				Teams: []switchboard.TeamID{p.team}, Email: fmt.Sprintf("operator%d@example.test", i)}
		}
		if err := s.reg.AddOperators(ctx, org.ID, list); err != nil {
			return p, err
		}
		for i := range n {
			op := first + switchboard.OperatorID(i)
			minted, err := s.reg.Minted(ctx, org.ID, op)
			if err != nil {
				return p, err
			}
			token, err := s.tokens.MintOperator(ctx, gateway.Claims{Org: org.ID, Operator: op, Role: switchboard.RoleOperator, Name: list[i].Name,
				Minted: minted, Expires: time.Now().Add(time.Hour)})
			if err != nil {
				return p, err
			}
			p.ids, p.tokens = append(p.ids, op), append(p.tokens, token)
		}
	}
	return p, nil
}

func (s *site) visitors(ctx context.Context, org switchboard.OrgID, n int) (out []string, err error) {
	now, err := s.reg.Now(ctx)
	if err != nil {
		return nil, err
	}
	for i := range n {
		token, err := s.tokens.MintVisitor(ctx, gateway.Claims{Org: org, Visitor: fmt.Sprintf("bench%d", i), Name: "Visitor", Minted: now, Expires: time.Now().Add(time.Hour)})
		if err != nil {
			return nil, err
		}
		out = append(out, token)
	}
	return out, nil
}

// process is one child of the bench.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	addr string
	ops  string
	came entered // of a crowd: how it came in
}

// spawn starts this binary with one of its hidden commands.
func (b *bench) spawn(args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, args...)}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	b.ends = append(b.ends, p.end)
	return p, nil
}

func (p *process) end() {
	p.in.Close() // its sign to end
	done := make(chan struct{})
	go func() { p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		p.kill()
		<-done
	}
}

func (p *process) kill() { p.cmd.Process.Kill() }

// startNode starts a gateway process on the site's store.
func (s *site) startNode(admission float64) (*process, error) {
	args := []string{"node", "-socket", s.server.Socket(), "-admission", fmt.Sprint(admission)}
	if s.b.profile != "" {
		s.b.nodes++
		args = append(args, "-profile", filepath.Join(s.b.profile, fmt.Sprintf("%s-node-%d.pprof", s.b.name, s.b.nodes)))
	}
	p, err := s.b.spawn(args...)
	if err != nil {
		return nil, err
	}
	return p, p.hears(&struct{ Addr, Ops *string }{&p.addr, &p.ops})
}

func (p *process) hears(v any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("a child of the bench ended: %w", err)
	}
	return json.Unmarshal(line, v)
}

// tick is the least of a processor's seconds that the kernel counts.
const tick = .01

// cpu returns the seconds of processor that a process has used.
func cpu(pid int) float64 {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return math.NaN()
	}
	f := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64) // utime and stime, in ticks of 10 ms
	sys, _ := strconv.ParseFloat(f[12], 64)
	return (user + sys) * tick
}

// resident returns a process's resident memory in bytes.
func resident(pid int) float64 {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return math.NaN()
	}
	pages, _ := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	return pages * float64(os.Getpagesize())
}

// commands returns how many commands Redis has done.
func (s *site) commands(ctx context.Context) float64 {
	info, err := s.rdb.Info(ctx, "stats").Result()
	if err != nil {
		return math.NaN()
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "total_commands_processed:"); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return n
		}
	}
	return math.NaN()
}
