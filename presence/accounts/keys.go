package accounts

import (
	"strconv"

	"github.com/switchboard/switchboard"
)

// This file lists every key that accounts owns. They all share the tag of the
// registry, so one script may touch any of them on a Redis Cluster. presence
// owns further keys under the same tag (its keys.go).
//
//	key                        type    holds                                       bound or lifetime
//	{reg}:ids                  hash    last id given out, by kind                  one field a kind
//	{reg}:companies            set     ids of companies                            companies
//	{reg}:company:<id>         string  company (JSON)                              until removed; never by itself
//	{reg}:company:<id>:orgs    set     its organizations                           1,000
//	{reg}:company:<id>:creds   set     its ChatHub credentials                     100
//	{reg}:slugs                hash    slug -> organization id                     organizations
//	{reg}:org:<id>             string  organization (JSON)                         until removed
//	{reg}:org:<id>:api         hash    credential id -> hashed secret              16
//	{reg}:org:<id>:creds       set     its API credentials                         16
//	{reg}:org:<id>:logins      set     logins of its people                        10,000
//	{reg}:chathub              hash    login -> credential id                      ChatHub credentials
//	{reg}:cred:<id>            string  credential (JSON, secret hashed)            until removed
//	{reg}:logins               hash    login -> operator id                        logins
//	{reg}:login:<login>        string  login (JSON, password hashed)               until removed
//	{reg}:op:<id/256>          hash    id%256 -> organization id                   256 fields; about 6 B an operator
//	{reg}:ticket:<hash>        string  person (JSON) for one sign-in               the ticket's life, at most 1 h
//	{reg}:refresh:<operator>   hash    family -> hash of the one live token        20 families; 30 days after last use
//	{reg}:signing              hash    signing keys, sealed; current               16 keys
//	{reg}:audit                stream  changes of organizations' settings          about 100,000 entries
const prefix = "sb:{reg}:"

// Bounds that the table above states.
const (
	maxOrganizations = 1_000 // of one company
	maxChatHub       = 100   // credentials of one company
	maxAPI           = 16    // credentials of one organization: each is tried
	maxLogins        = 10_000
	maxFamilies      = 20
	maxKeys          = 16
	operatorBucket   = 256
)

const (
	keyAudit     = prefix + "audit"
	keyIDs       = prefix + "ids"
	keyCompanies = prefix + "companies"
	keySlugs     = prefix + "slugs"
	keyChatHub   = prefix + "chathub"
	keyLogins    = prefix + "logins"
	keySigning   = prefix + "signing"
)

func decimal[T ~int64](id T) string { return strconv.FormatInt(int64(id), 10) }

func keyCompany(id switchboard.CompanyID) string { return prefix + "company:" + decimal(id) }
func keyCompanyOrgs(id switchboard.CompanyID) string {
	return keyCompany(id) + ":orgs"
}
func keyCompanyCreds(id switchboard.CompanyID) string {
	return keyCompany(id) + ":creds"
}
func keyOrg(id switchboard.OrgID) string          { return prefix + "org:" + decimal(id) }
func keyOrgCreds(id switchboard.OrgID) string     { return keyOrg(id) + ":creds" }
func keyOrgAPI(id switchboard.OrgID) string       { return keyOrg(id) + ":api" }
func keyOrgLogins(id switchboard.OrgID) string    { return keyOrg(id) + ":logins" }
func keyCred(id int64) string                     { return prefix + "cred:" + decimal(id) }
func keyLogin(login string) string                { return prefix + "login:" + login }
func keyTicket(hash string) string                { return prefix + "ticket:" + hash }
func keyRefresh(op switchboard.OperatorID) string { return prefix + "refresh:" + decimal(op) }

// keyOperator returns the bucket of an operator and the field in it. A bucket
// is small enough for Redis to keep it packed, which is what makes it cheap.
func keyOperator(id switchboard.OperatorID) (key, field string) {
	return prefix + "op:" + decimal(id/operatorBucket), decimal(id % operatorBucket)
}
