package presence

import "regexp"

// Bounds of skills. A language is a skill: LanguageSkill.
const (
	// MaxLevel is the highest level of a skill; 1 is the lowest.
	MaxLevel = 10
	// MaxSkills is how many skills an operator may have.
	MaxSkills = 100
)

// The names are parts of keys and alarms.
var skillName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.:-]{0,39}$`)

// ValidSkill reports whether a text may name a skill: 1 to 40 of a-z 0-9 _ . : -
// and no sign first.
func ValidSkill(name string) bool { return skillName.MatchString(name) }

// LanguageSkill returns the skill that speaking a language is: "lang:fr".
func LanguageSkill(code string) string { return "lang:" + code }
