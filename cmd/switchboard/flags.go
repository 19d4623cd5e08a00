package main

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// flags reads the flags of one command. It differs from package flag in three
// things: a setting may come from the environment, all problems are reported at
// once, and where each value came from is known.
type flags struct {
	command command
	all     []*entry
	rules   []func() error // over several flags
	set     *flag.FlagSet
}

// entry is one flag.
type entry struct {
	name, usage, fallback string
	env                   string // variable that may give it, "" for none
	isList                bool   // may be given several times
	secret                bool   // printed by redact
	raw                   string
	from                  string // "flag", "environment" or "default"
	take                  func(raw string) error
}

// problems is everything that is wrong with a command line.
type problems struct {
	command string
	list    []string
}

// Error implements error, a line for each problem.
func (p *problems) Error() string {
	var b strings.Builder
	for _, text := range p.list {
		fmt.Fprintf(&b, "switchboard %s: %s\n", p.command, text)
	}
	fmt.Fprintf(&b, "switchboard %s -help lists the flags", p.command)
	return b.String()
}

func newFlags(c command) *flags {
	f := &flags{command: c, set: flag.NewFlagSet(c.name, flag.ContinueOnError)}
	f.set.SetOutput(io.Discard)
	f.set.Usage = func() {}
	return f
}

// arg adds a flag that the command line alone may give. The parser sees the
// fallback too; an error of it is a problem of the command line.
func arg[T any](f *flags, name, fallback, usage string, parse func(string) (T, error)) *T {
	v := new(T)
	e := &entry{name: name, usage: usage, fallback: fallback, raw: fallback, from: "default"}
	e.take = func(raw string) (err error) {
		*v, err = parse(raw)
		return err
	}
	f.all = append(f.all, e)
	given := func(raw string) error {
		if e.isList && e.from == "flag" {
			raw = e.raw + "," + raw
		}
		e.raw, e.from = raw, "flag"
		return nil // checked later, with all the others
	}
	if _, isBool := any(v).(*bool); isBool {
		f.set.BoolFunc(name, usage, given)
	} else {
		f.set.Func(name, usage, given)
	}
	return v
}

// config adds a setting: a flag that SWITCHBOARD_<NAME> may give as well.
func config[T any](f *flags, name, fallback, usage string, parse func(string) (T, error)) *T {
	v := arg(f, name, fallback, usage, parse)
	f.all[len(f.all)-1].env = "SWITCHBOARD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	return v
}

// list adds a flag that may be given several times, or with commas.
func list(f *flags, name, usage string) *[]string {
	v := arg(f, name, "", usage, func(raw string) ([]string, error) {
		return strings.FieldsFunc(raw, func(r rune) bool { return r == ',' }), nil
	})
	f.all[len(f.all)-1].isList = true
	return v
}

// parse reads the command line and the environment. The error is flag.ErrHelp
// or *problems.
func (f *flags) parse(args []string, env map[string]string) error {
	p := &problems{command: f.command.name}
	if err := f.set.Parse(args); err == flag.ErrHelp {
		return err
	} else if err != nil {
		p.list = append(p.list, err.Error())
	}
	for _, extra := range f.set.Args() {
		p.list = append(p.list, fmt.Sprintf("unexpected argument %q", extra))
	}
	for _, e := range f.all {
		where := "--" + e.name
		if value, ok := env[e.env]; ok && e.env != "" && e.from == "default" {
			e.raw, e.from, where = value, "environment", e.env
		}
		if err := e.take(e.raw); err != nil {
			p.list = append(p.list, where+": "+explain(err))
		}
	}
	for _, rule := range f.rules {
		if err := rule(); err != nil {
			p.list = append(p.list, explain(err))
		}
	}
	if len(p.list) > 0 {
		return p
	}
	return nil
}

// given reports whether the command line has a flag.
func (f *flags) given(name string) bool {
	for _, e := range f.all {
		if e.name == name {
			return e.from == "flag"
		}
	}
	return false
}

// print writes what -help shows.
func (f *flags) print(w io.Writer) {
	fmt.Fprintf(w, "switchboard %s: %s\n\n", f.command.name, f.command.about)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range f.all {
		about := e.usage
		if e.fallback != "" {
			about += " (default " + e.fallback + ")"
		}
		fmt.Fprintf(tab, "  --%s\t%s\t%s\n", e.name, e.env, about)
	}
	_ = tab.Flush() // the terminal went away: nobody is left to tell
}

// Parsers of flags.

func text(raw string) (string, error) { return raw, nil }

func required(raw string) (string, error) {
	if raw == "" {
		return "", fmt.Errorf("this flag is needed")
	}
	return raw, nil
}

func yes(raw string) (bool, error) {
	if raw == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(raw)
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false", raw)
	}
	return v, nil
}

func whole(least, most int) func(string) (int, error) {
	return func(raw string) (int, error) {
		n, err := strconv.Atoi(raw)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("%q is no whole number from %d to %d", raw, least, most)
		}
		return n, nil
	}
}

// id reads an id; 0 stands for one that was not given.
func id[T ~int64](raw string) (T, error) {
	if raw == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no id", raw)
	}
	return T(n), nil
}

func rate(raw string) (float64, error) {
	n, err := strconv.ParseFloat(raw, 64)
	if err != nil || n < 0 || n > 1e6 {
		return 0, fmt.Errorf("%q is no number from 0 (the default) to 1000000", raw)
	}
	return n, nil
}

func span(least, most time.Duration) func(string) (time.Duration, error) {
	return func(raw string) (time.Duration, error) {
		d, err := time.ParseDuration(raw)
		if err != nil || d < least || d > most {
			return 0, fmt.Errorf("%q is no time from %v to %v, such as 10s", raw, least, most)
		}
		return d, nil
	}
}
