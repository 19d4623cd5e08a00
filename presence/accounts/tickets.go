package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// maxTicket is the longest life of a ticket: it stands in links and terminals.
const maxTicket = time.Hour

// NewTicket returns a secret of 256 bits that signs one person in once within
// ttl, 1 ms to 1 h. Errors: CodeInvalid, CodeNotFound when the operator is not
// of that organization.
func (s *Store) NewTicket(ctx context.Context, op switchboard.OperatorID, org switchboard.OrgID, role switchboard.Role, ttl time.Duration) (string, error) {
	if ttl < time.Millisecond || ttl > maxTicket {
		return "", switchboard.Invalid("ttl", "between 1 ms and 1 h")
	}
	if err := s.checkPerson(ctx, op, org, role); err != nil {
		return "", err
	}
	text, err := json.Marshal(Login{Operator: op, Org: org, Role: role})
	if err != nil {
		return "", damaged("a ticket", err)
	}
	ticket := random(32)
	if err := s.rdb.Set(ctx, keyTicket(digest(ticket)), text, ttl).Err(); err != nil {
		return "", storeError("new ticket", err)
	}
	return ticket, nil
}

// SpendTicket returns the person of a ticket; of any number of callers at once
// one succeeds. Errors: CodeUnauthorized when it was spent, is over, or never was.
func (s *Store) SpendTicket(ctx context.Context, ticket string) (Login, error) {
	var l Login
	text, err := s.rdb.GetDel(ctx, keyTicket(digest(ticket))).Bytes()
	if errors.Is(err, redis.Nil) {
		return l, switchboard.Errorc(switchboard.CodeUnauthorized, "this ticket was used or is too old; get a new link")
	}
	if err != nil {
		return l, storeError("spend ticket", err)
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return l, damaged("a ticket", err)
	}
	return l, nil
}
