package main

import (
	"context"
	"fmt"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/accounts"
)

var accessCommands = []command{
	{"login add", "let an operator sign in with a password", loginAdd},
	{"login list", "list the logins of an organization", loginList},
	{"login password", "change a password and end the sessions of the old one", loginPassword},
	{"login remove", "remove a login", loginRemove},
	{"credential add", "let another system in: chathub for a company, api for an organization", credentialAdd},
	{"credential list", "list the credentials of a company", credentialList},
	{"credential remove", "remove a credential and refuse the tokens made from it", credentialRemove},
}

var keyCommands = []command{
	{"key new", "write a new master key to a file", keyNew},
	{"key list", "list the signing keys", keyList},
	{"key rotate", "make a new signing key; tokens of older ones stay good", keyRotate},
	{"key remove", "remove an old signing key and refuse its tokens", keyRemove},
}

func secretFlag(f *flags) *string {
	return arg(f, "secret-file", "-", "file with the password or secret, - for standard input", required)
}

func loginAdd(f *flags) action {
	op := arg(f, "operator", "", "id of the operator", id[switchboard.OperatorID])
	login := arg(f, "login", "", "name to sign in with, often an e-mail address", required)
	file := secretFlag(f)
	return manage(f, func(ctx context.Context, a *admin) error {
		known, org, err := a.operator(ctx, *op)
		if err != nil {
			return err
		}
		password, err := a.readSecret(*file)
		if err != nil {
			return err
		}
		if err := a.accounts.AddLogin(ctx, *login, password, known.ID, org, known.Role); err != nil {
			return err
		}
		return a.showLogins(ctx, org)
	})
}

func loginList(f *flags) action {
	ref := arg(f, "organization", "", "slug or id", required)
	return manage(f, func(ctx context.Context, a *admin) error {
		o, err := a.organization(ctx, *ref)
		if err != nil {
			return err
		}
		return a.showLogins(ctx, o.ID)
	})
}

func (a *admin) showLogins(ctx context.Context, org switchboard.OrgID) error {
	all, err := a.accounts.Logins(ctx, org)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, l := range all {
		rows = append(rows, []string{l.Login, fmt.Sprint(l.Operator), string(l.Role)})
	}
	return a.show(orEmpty(all), []string{"LOGIN", "OPERATOR", "ROLE"}, rows)
}

func loginPassword(f *flags) action {
	login := arg(f, "login", "", "the login", required)
	file := secretFlag(f)
	return manage(f, func(ctx context.Context, a *admin) error {
		password, err := a.readSecret(*file)
		if err != nil {
			return err
		}
		return a.accounts.SetPassword(ctx, *login, password)
	})
}

func loginRemove(f *flags) action {
	login := arg(f, "login", "", "the login", required)
	return manage(f, func(ctx context.Context, a *admin) error { return a.accounts.RemoveLogin(ctx, *login) })
}

func credentialAdd(f *flags) action {
	kind := arg(f, "kind", "", "chathub (login and password of a company) or api (secret of an organization)", required)
	company := arg(f, "company", "", "chathub: id of the company", id[switchboard.CompanyID])
	login := arg(f, "login", "", "chathub: login", text)
	ref := arg(f, "organization", "", "api: slug or id", text)
	note := arg(f, "note", "", "who uses it", text)
	generate := arg(f, "generate", "", "make a random secret and print it once", yes)
	file := secretFlag(f)
	return manage(f, func(ctx context.Context, a *admin) error {
		c := accounts.Credential{Kind: accounts.Kind(*kind), Company: *company, Login: *login, Note: *note}
		if c.Kind == accounts.API {
			o, err := a.organization(ctx, *ref)
			if err != nil {
				return err
			}
			c.Org = o.ID
		}
		secret := ""
		if !*generate {
			var err error
			if secret, err = a.readSecret(*file); err != nil {
				return err
			}
		}
		c, secret, err := a.accounts.AddCredential(ctx, c, secret)
		if err != nil {
			return err
		}
		if !*generate {
			return a.showCredentials(c, c)
		}
		type made struct {
			accounts.Credential
			Secret string `json:"secret"`
		}
		return a.show(made{c, secret}, []string{"CREDENTIAL", "KIND", "SECRET (shown only now)"}, [][]string{{fmt.Sprint(c.ID), string(c.Kind), secret}})
	})
}

func credentialList(f *flags) action {
	company := arg(f, "company", "", "id of the company", required)
	return manage(f, func(ctx context.Context, a *admin) error {
		n, err := id[switchboard.CompanyID](*company)
		if err != nil {
			return fmt.Errorf("--company: %w", err)
		}
		all, err := a.accounts.Credentials(ctx, n)
		if err != nil {
			return err
		}
		return a.showCredentials(orEmpty(all), all...)
	})
}

func (a *admin) showCredentials(v any, all ...accounts.Credential) error {
	var rows [][]string
	for _, c := range all {
		owner := fmt.Sprintf("company %d", c.Company)
		if c.Kind == accounts.API {
			owner = fmt.Sprintf("organization %d", c.Org)
		}
		rows = append(rows, []string{fmt.Sprint(c.ID), string(c.Kind), owner, dash(c.Login), dash(c.Note)})
	}
	return a.show(v, []string{"CREDENTIAL", "KIND", "OF", "LOGIN", "NOTE"}, rows)
}

func credentialRemove(f *flags) action {
	credential := arg(f, "credential", "", "id of the credential", id[int64])
	return manage(f, func(ctx context.Context, a *admin) error { return a.accounts.RemoveCredential(ctx, *credential) })
}

func keyNew(f *flags) action {
	file := arg(f, "key-file", "", "file to write; it must not exist", required)
	return func(context.Context, *terminal) error { return makeMaster(*file) }
}

func keyList(f *flags) action {
	return manage(f, func(ctx context.Context, a *admin) error { return a.showKeys(ctx) })
}

func keyRotate(f *flags) action {
	return manage(f, func(ctx context.Context, a *admin) error {
		if _, err := a.accounts.RotateKey(ctx); err != nil {
			return err
		}
		return a.showKeys(ctx)
	})
}

func keyRemove(f *flags) action {
	kid := arg(f, "key", "", "id of the key", required)
	return manage(f, func(ctx context.Context, a *admin) error {
		if err := a.accounts.RemoveKey(ctx, *kid); err != nil {
			return err
		}
		return a.showKeys(ctx)
	})
}

func (a *admin) showKeys(ctx context.Context) error {
	all, err := a.accounts.Keys(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, k := range all {
		use := "verifies"
		if k.Current {
			use = "signs"
		}
		rows = append(rows, []string{k.ID, k.Created.UTC().Format(time.RFC3339), use})
	}
	return a.show(orEmpty(all), []string{"KEY", "CREATED", "USE"}, rows)
}
