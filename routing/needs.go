package routing

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// MaxNeeds is how many skills a chat may ask for.
const MaxNeeds = 8

// Need is one skill that a chat asks for; a preferred one counts for the team's
// PreferMS only.
type Need = switchboard.Need

// Step is what a chat requires from a time after its start on.
type Step struct {
	After int64          `json:"after"` // ms
	Key   string         `json:"key"`   // "" requires nothing
	Need  map[string]int `json:"need,omitempty"`
}

// steps returns what a chat requires as it waits, first step at 0. Whoever meets
// a step meets the next: levels only fall, and preferred skills only go.
func steps(needs []Need, t presence.Team) []Step {
	if len(needs) == 0 {
		return nil
	}
	prefer := t.PreferMS
	if prefer == 0 {
		prefer = 20_000
	}
	times := []int64{0, prefer}
	for _, r := range t.Relax {
		times = append(times, r.AfterMS)
	}
	slices.Sort(times)
	var out []Step
	for _, at := range slices.Compact(times) {
		lower := 0
		for _, r := range t.Relax {
			if r.AfterMS <= at {
				lower = max(lower, r.Lower)
			}
		}
		need := map[string]int{}
		for _, n := range needs {
			if !n.Preferred || at < prefer {
				need[n.Skill] = max(need[n.Skill], n.Level-lower, 1)
			}
		}
		s := Step{After: at, Key: key(need), Need: need}
		if len(out) == 0 || out[len(out)-1].Key != s.Key {
			out = append(out, s)
		}
	}
	return out
}

// key names a requirement, the same for the same skills and levels.
func key(need map[string]int) string {
	var b strings.Builder
	for _, skill := range slices.Sorted(maps.Keys(need)) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s=%d", skill, need[skill])
	}
	return b.String()
}

func checkNeeds(needs []Need) error {
	if len(needs) > MaxNeeds {
		return switchboard.Invalid("skills", fmt.Sprintf("at most %d", MaxNeeds))
	}
	for i, n := range needs {
		if !presence.ValidSkill(n.Skill) {
			return switchboard.Invalid(fmt.Sprintf("skills[%d].skill", i), "1 to 40 of a-z 0-9 _ . : -")
		}
		if n.Level < 0 || n.Level > presence.MaxLevel {
			return switchboard.Invalid(fmt.Sprintf("skills[%d].level", i), "1 to 10")
		}
	}
	return nil
}
