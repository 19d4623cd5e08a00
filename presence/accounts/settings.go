package accounts

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/switchboard/switchboard"
)

// organizationAge is how late a change of an organization's settings may reach
// a node that has them in memory.
const organizationAge = 5 * time.Second

// DefaultJobThreshold is how many operators a logout order may name before it
// becomes a background job, unless the organization says otherwise.
const DefaultJobThreshold = 100

// DefaultConfirmPercent is the share of the people who are here that a logout
// order may mean without being confirmed, unless the organization says otherwise.
const DefaultConfirmPercent = 50

const (
	maxName     = 100 // characters
	maxSites    = 50
	maxStatuses = 20
	maxStatus   = 40 // characters
	maxNetworks = 20
)

// Company owns organizations and the credentials that manage them.
type Company struct {
	ID   switchboard.CompanyID `json:"id"`
	Name string                `json:"name"`
}

// Organization is a tenant with its settings.
type Organization struct {
	ID      switchboard.OrgID     `json:"id"`
	Company switchboard.CompanyID `json:"company"`
	Name    string                `json:"name"` // 1 to 100 characters
	// Slug names the organization in addresses and as the user of HTTP Basic:
	// 1 to 63 of [a-z0-9-], not at the ends a hyphen. Unique, and fixed.
	Slug string `json:"slug"`
	// Sites are the origins whose pages may show the widget and open sockets,
	// as browsers send them: https://shop.example, with the port if not the usual.
	Sites []string `json:"sites,omitempty"`
	// Statuses are custom intents besides the four that everybody has.
	Statuses []string `json:"statuses,omitempty"`
	// JobThreshold is the number of operators above which a logout order runs
	// as a job; 0 in AddOrganization means DefaultJobThreshold.
	JobThreshold int `json:"job_threshold"`
	// ConfirmPercent is the share of the people who are here that a logout order
	// may mean before it must be confirmed, 1 to 100; 0 in AddOrganization means
	// DefaultConfirmPercent.
	ConfirmPercent int `json:"confirm_percent,omitempty"`
	// Deferred200 makes the force-logout surface answer 200 instead of the
	// documented 400 when every operator is busy.
	Deferred200 bool `json:"deferred_200,omitempty"`
	// Preview shows what a visitor types to the operator's side before it is sent;
	// visitors are told.
	Preview bool `json:"preview,omitempty"`
	// WebhookAllow are networks (CIDR) that its webhooks may reach besides public
	// addresses. They are the installation's to give, not a tenant's to take: the
	// settings over HTTP show them and cannot change them.
	WebhookAllow []string `json:"webhook_allow,omitempty"`
	// WebhookKey numbers the secret that signs its webhooks; a change of it makes a
	// new one (WebhookSecret).
	WebhookKey int64 `json:"webhook_key,omitempty"`
	Version    int64 `json:"version,omitempty"` // of these settings; the store counts it
}

// clone keeps callers from changing what the cache holds.
func (o Organization) clone() Organization {
	o.Sites, o.Statuses, o.WebhookAllow = slices.Clone(o.Sites), slices.Clone(o.Statuses), slices.Clone(o.WebhookAllow)
	return o
}

var slugPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// clean checks the settings and brings them into their one form. Its error names
// every problem.
func (o Organization) clean() (Organization, error) {
	o = o.clone()
	var problems []switchboard.Problem
	note := func(err error) {
		var e *switchboard.Error
		if errors.As(err, &e) {
			problems = append(problems, switchboard.Problem{Field: e.Field, Message: e.Message})
		}
	}
	check := func(ok bool, field, message string) {
		if !ok {
			problems = append(problems, switchboard.Problem{Field: field, Message: message})
		}
	}
	var err error
	o.Name, err = cleanName("name", o.Name)
	note(err)
	check(slugPattern.MatchString(o.Slug), "slug", "1 to 63 of a-z, 0-9 and hyphen, no hyphen at the ends")
	check(len(o.Sites) <= maxSites, "sites", fmt.Sprintf("at most %d", maxSites))
	for i, site := range o.Sites[:min(len(o.Sites), maxSites)] {
		o.Sites[i], err = cleanSite(site)
		note(err)
	}
	check(len(o.Statuses) <= maxStatuses, "statuses", fmt.Sprintf("at most %d", maxStatuses))
	for i, status := range o.Statuses[:min(len(o.Statuses), maxStatuses)] {
		status = strings.TrimSpace(status)
		o.Statuses[i] = status
		taken := switchboard.Computed(status) || switchboard.Automatic(status) || slices.Contains(builtIn, status) || slices.Contains(o.Statuses[:i], status)
		check(printable(status, maxStatus) && !taken, "statuses", fmt.Sprintf("%q is no new name of 1 to %d characters", status, maxStatus))
	}
	if o.JobThreshold == 0 {
		o.JobThreshold = DefaultJobThreshold
	}
	check(o.JobThreshold > 0, "job_threshold", "a positive number")
	check(len(o.WebhookAllow) <= maxNetworks, "webhook_allow", fmt.Sprintf("at most %d", maxNetworks))
	for i, network := range o.WebhookAllow[:min(len(o.WebhookAllow), maxNetworks)] {
		p, err := netip.ParsePrefix(network)
		check(err == nil && p == p.Masked(), fmt.Sprintf("webhook_allow[%d]", i), "a network such as 10.1.0.0/16")
	}
	if o.ConfirmPercent == 0 {
		o.ConfirmPercent = DefaultConfirmPercent
	}
	check(o.ConfirmPercent >= 1 && o.ConfirmPercent <= 100, "confirm_percent", "1 to 100")
	check(o.WebhookKey >= 0, "webhook_key", "0 or more")
	return o, switchboard.InvalidAll(problems)
}

var builtIn = []string{switchboard.StatusAvailable, switchboard.StatusUnavailable, switchboard.StatusBreak, switchboard.StatusMeal}

// cleanSite returns an origin as a browser writes it.
func cleanSite(site string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(site, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", switchboard.Invalid("sites", fmt.Sprintf("%q is no origin such as https://shop.example", site))
	}
	host := strings.ToLower(u.Host)
	if usual := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; strings.HasSuffix(host, usual) {
		host = strings.TrimSuffix(host, usual)
	}
	return u.Scheme + "://" + host, nil
}

func cleanName(field, name string) (string, error) {
	name = strings.TrimSpace(name)
	if !printable(name, maxName) {
		return "", switchboard.Invalid(field, fmt.Sprintf("1 to %d printable characters", maxName))
	}
	return name, nil
}

func printable(s string, most int) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= most &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
