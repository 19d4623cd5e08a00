package gateway

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/switchboard/switchboard"
)

// What a visitor types may be shown to the operator's side before it is sent, where
// the organization has switched that on; ready says so to the visitor (T-5). It
// lives in one nudge: nothing of it is stored or logged.
const (
	previewEvery = time.Second
	previewRunes = 300 // the end of what was typed is shown
)

// previewOf returns the text that a typing mark may carry: masked and cut; "" for
// none, and for one that comes less than a second after the last.
func (s *Server) previewOf(ctx context.Context, ss *session, in switchboard.In) string {
	if in.Text == "" || !in.On || in.T != switchboard.KindTyping || ss.claims.Audience != AudienceVisitor || time.Since(ss.previewed) < previewEvery {
		return ""
	}
	if org, err := s.accounts.Organization(ctx, ss.claims.Org); err != nil || !org.Preview {
		return ""
	}
	ss.previewed = time.Now()
	text := []rune(maskNumbers(strings.ToValidUTF8(in.Text, "")))
	return string(text[max(0, len(text)-previewRunes):])
}

// maskFrom is how many digits in a row look like the number of a card, an account
// or a telephone. It is less than any card has, since a preview shows a number
// while it is being typed.
const maskFrom = 9

// maskNumbers replaces the digits of long numbers by dots, whatever stands between
// single digits or groups: at most three of spaces, hyphens, dots and slashes.
func maskNumbers(text string) string {
	runes := []rune(text)
	for i := 0; i < len(runes); {
		if !unicode.IsDigit(runes[i]) {
			i++
			continue
		}
		digits, end := 0, i
		for j, gap := i, 0; j < len(runes) && gap <= 3; j++ {
			switch {
			case unicode.IsDigit(runes[j]):
				digits, end, gap = digits+1, j+1, 0
			case separates(runes[j]):
				gap++
			default:
				gap = 4
			}
		}
		if digits >= maskFrom {
			for j := i; j < end; j++ {
				if unicode.IsDigit(runes[j]) {
					runes[j] = '•'
				}
			}
		}
		i = end
	}
	return string(runes)
}

// separates: what people and programs put between the digits of one number, and
// what cannot be seen.
func separates(r rune) bool {
	return unicode.IsSpace(r) || unicode.In(r, unicode.Pd, unicode.Cf, unicode.Zs) || strings.ContainsRune("./_,|", r)
}
