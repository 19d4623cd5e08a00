package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// memory is how many bytes Redis holds, by kind of key: every key there is.
type memory map[string]float64

var (
	tagOfKey = regexp.MustCompile(`^sb:\{[^}]*\}`)
	idInKey  = regexp.MustCompile(`:[0-9]+(:|$)`)
)

// kindOf takes tags of partitions and ids out of a key's name.
func kindOf(key string) string {
	if rest, ok := strings.CutPrefix(key, "sb:{reg}"); ok {
		key = "{reg}" + rest
	} else {
		key = tagOfKey.ReplaceAllString(key, "{T}")
	}
	return idInKey.ReplaceAllString(key, "$1")
}

func (s *site) memory(ctx context.Context) (memory, error) {
	out := memory{}
	keys := s.rdb.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		size, err := s.rdb.MemoryUsage(ctx, keys.Val(), 0).Result() // 0: of all members
		if err != nil {
			return nil, err
		}
		out[kindOf(keys.Val())] += float64(size)
	}
	return out, keys.Err()
}

// grown judges what Redis holds more for each of n people who came: the sum over
// all keys that have grown or are new, whosever they are, each printed with its part.
// What is there once (the registry, organizations, teams) is in the sum too, so it
// errs upwards in a small run.
func (s *site) grown(ctx context.Context, who string, n int, before memory, bound float64) error {
	after, err := s.memory(ctx)
	if err != nil {
		return err
	}
	sum, parts := 0.0, []string(nil)
	for _, kind := range slices.Sorted(maps.Keys(after)) {
		if grew := (after[kind] - before[kind]) / float64(n); grew != 0 {
			sum += grew
			parts = append(parts, fmt.Sprintf("%s %.1f", kind, grew))
		}
	}
	if len(parts) == 0 {
		sum = math.NaN()
	}
	s.b.most(fmt.Sprintf("Redis memory %s who is here, over all keys", who), sum, "B", bound)
	fmt.Printf("    of that, all keys: %s\n", strings.Join(parts, ", "))
	return nil
}

// visitorsHere lets n visitors in and judges what Redis holds for each.
func visitorsHere(ctx context.Context, b *bench, n int) error {
	s, err := newSite(ctx, b)
	if err != nil {
		return err
	}
	nobody, err := s.memory(ctx)
	if err != nil {
		return err
	}
	p, err := s.organization(ctx, "one", 0, 0)
	if err != nil {
		return err
	}
	tokens, err := s.visitors(ctx, p.org, n)
	if err != nil {
		return err
	}
	node, err := s.startNode(1e6)
	if err != nil {
		return err
	}
	if _, err := s.crowds(tokens, 2, 64, node.addr); err != nil {
		return err
	}
	return s.grown(ctx, "a visitor", n, nobody, 200)
}
