package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/switchboard/switchboard"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // the command line or the settings are wrong; nothing was begun
)

// terminal is the world outside: run gets all of it as arguments, so that tests
// call it as a shell would.
type terminal struct {
	env map[string]string
	in  io.Reader
	out io.Writer
	err io.Writer
}

// action does what a command is for, with flags that were read and checked.
type action func(ctx context.Context, t *terminal) error

// command is one word or two on the command line.
type command struct {
	name  string
	about string
	setup func(f *flags) action
}

func commands() []command {
	all := []command{
		{"serve", "run a node", serveCommand},
		{"check-config", "print the settings that serve would use, without secrets", checkConfigCommand},
		{"demo", "run nodes with a demo company and print links to try it", demoCommand},
		{"demo links", "print fresh links to the demo that runs", demoLinksCommand},
	}
	for _, more := range [][]command{companyCommands, peopleCommands, accessCommands, keyCommands} {
		all = append(all, more...)
	}
	return append(all, command{"version", "print the version", versionCommand})
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args, environ []string, in io.Reader, out, errs io.Writer) int {
	t := &terminal{env: map[string]string{}, in: in, out: out, err: errs}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		t.env[name] = value
	}
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		printCommands(out)
		return exitOK
	}
	c, rest, ok := find(args)
	if !ok {
		fmt.Fprintf(errs, "switchboard: there is no command %q; these there are:\n\n", strings.Join(args[:min(2, len(args))], " "))
		printCommands(errs)
		return exitUsage
	}
	f := newFlags(c)
	act := c.setup(f)
	if err := f.parse(rest, t.env); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			f.print(out)
			return exitOK
		}
		fmt.Fprintln(errs, err)
		return exitUsage
	}
	if err := act(ctx, t); err != nil {
		fmt.Fprintln(errs, "switchboard:", explain(err))
		var usage *problems
		if errors.As(err, &usage) {
			return exitUsage
		}
		return exitFailed
	}
	return exitOK
}

// find returns the command that args begin with, the longest name first.
func find(args []string) (c command, rest []string, ok bool) {
	all := commands()
	for n := min(2, len(args)); n > 0; n-- {
		name := strings.Join(args[:n], " ")
		if i := slices.IndexFunc(all, func(c command) bool { return c.name == name }); i >= 0 {
			return all[i], args[n:], true
		}
	}
	return command{}, nil, false
}

func printCommands(w io.Writer) {
	fmt.Fprint(w, "Usage: switchboard <command> [flags]; each command has -help.\n\n")
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(tab, "  %s\t%s\n", c.name, c.about)
	}
	_ = tab.Flush() // the terminal went away: nobody is left to tell
}

// explain returns an error for the person at the terminal: the message, the
// field, and the cause where it helps.
func explain(err error) string {
	var e *switchboard.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if cause := e.Unwrap(); cause != nil {
		s += ": " + cause.Error()
	}
	return s
}
