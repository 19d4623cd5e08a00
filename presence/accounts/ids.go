package accounts

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// maxBind bounds the operators of one call; the ChatHub surface takes fewer.
const maxBind = 10_000

// next gives out n ids of a kind and returns the first. Ids are never reused;
// a caller that fails afterwards leaves a gap.
func (s *Store) next(ctx context.Context, kind string, n int64) (int64, error) {
	last, err := s.rdb.HIncrBy(ctx, keyIDs, kind, n).Result()
	if err != nil {
		return 0, storeError("next "+kind, err)
	}
	return last - n + 1, nil
}

// NextOperators gives out n ids in a row, 1 to 10,000, and returns the first.
// They belong to nobody until BindOperators.
func (s *Store) NextOperators(ctx context.Context, n int) (switchboard.OperatorID, error) {
	if err := checkBind(n); err != nil {
		return 0, err
	}
	id, err := s.next(ctx, "operator", int64(n))
	return switchboard.OperatorID(id), err
}

// NextTeam gives out a team id, unique over all organizations.
func (s *Store) NextTeam(ctx context.Context) (switchboard.TeamID, error) {
	id, err := s.next(ctx, "team", 1)
	return switchboard.TeamID(id), err
}

// NextOrder gives out the id of a logout order, unique over all organizations.
func (s *Store) NextOrder(ctx context.Context) (switchboard.OrderID, error) {
	id, err := scriptOrderID.Run(ctx, s.rdb, []string{keyIDs}, "order").Int64()
	if err != nil {
		return 0, storeError("next order", err)
	}
	return switchboard.OrderID(id), nil
}

// BindOperators says that the n operators from first on are of an organization.
// Repeating it is harmless; an operator never moves to another organization, so
// ids that were not just given out by NextOperators must not be passed.
func (s *Store) BindOperators(ctx context.Context, org switchboard.OrgID, first switchboard.OperatorID, n int) error {
	if err := checkBind(n); err != nil {
		return err
	}
	fields := map[string][]any{}
	for i := range n {
		key, field := keyOperator(first + switchboard.OperatorID(i))
		fields[key] = append(fields[key], field, int64(org))
	}
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for key, values := range fields {
			p.HSet(ctx, key, values...)
		}
		return nil
	})
	if err != nil {
		return storeError("bind operators", err)
	}
	return nil
}

// OperatorOrg returns the organization of an operator. It is fixed, so it is
// kept in memory. Errors: CodeNotFound.
func (s *Store) OperatorOrg(ctx context.Context, op switchboard.OperatorID) (switchboard.OrgID, error) {
	if org, ok := s.homes.get(op); ok {
		return org, nil
	}
	key, field := keyOperator(op)
	id, err := s.rdb.HGet(ctx, key, field).Int64()
	if errors.Is(err, redis.Nil) {
		return 0, switchboard.Errorc(switchboard.CodeNotFound, "there is no such operator")
	}
	if err != nil {
		return 0, storeError("operator", err)
	}
	s.homes.put(op, switchboard.OrgID(id))
	return switchboard.OrgID(id), nil
}

func checkBind(n int) error {
	if n < 1 || n > maxBind {
		return switchboard.Invalid("operators", fmt.Sprintf("between 1 and %d at once", maxBind))
	}
	return nil
}
